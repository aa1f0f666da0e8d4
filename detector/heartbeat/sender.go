package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// Sender is an agent's end: it sends heartbeats, hears acknowledgements and
// performs orders.
type Sender struct {
	o       SenderOptions
	cluster cluster
	counters
	stop   context.CancelFunc
	owned  sync.WaitGroup
	closed atomic.Bool

	leaving atomic.Bool
	noted   chan struct{} // closed when a controller has noted that we leave
	note    sync.Once

	mu       sync.Mutex
	peers    map[string]*peer
	bucket   bucket
	orders   chan struct{} // as many tokens as orders may run
	toldOmit bool
}

// peer is one controller. Its fields are guarded by Sender.mu.
type peer struct {
	Peer
	session
	seq     uint64 // of our newest datagram
	sentAt  [recent]time.Time
	leftAt  [recent]Instant
	contact Contact
}

// Start begins to send. ctx bounds the start only; Close ends it.
func Start(ctx context.Context, o SenderOptions) (*Sender, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	if o.Orders == 0 {
		o.Orders = DefaultOrders
	}
	o.KeyID = publicKeyID(o.KeyID, o.Key)
	o.Signer = orEdwards(o.Signer)
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Sender{
		o: o, cluster: clusterOf(o.ClusterID), stop: stop, noted: make(chan struct{}),
		peers: map[string]*peer{}, orders: make(chan struct{}, o.Orders),
		bucket: bucket{rate: orderRate, burst: orderBurst},
	}
	s.setControllers(o.Controllers)
	s.owned.Go(func() { s.beat(ctx) })
	s.owned.Go(func() { s.listen(ctx) })
	return s, nil
}

// Close stops sending, waits for running probes and closes the connection.
func (s *Sender) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.stop()
	err := s.o.Conn.Close()
	s.owned.Wait()
	return err
}

// Stats counts what happened so far.
func (s *Sender) Stats() Stats { return s.stats() }

// SetControllers replaces the list of controllers. One that stays under its id
// keeps its session.
func (s *Sender) SetControllers(peers []Peer) error {
	if err := checkPeers(peers); err != nil {
		return err
	}
	s.setControllers(peers)
	return nil
}

func (s *Sender) setControllers(peers []Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := make(map[string]*peer, len(peers))
	for _, p := range peers {
		old := s.peers[p.ID]
		if old == nil {
			old = &peer{contact: Contact{ID: p.ID}}
		}
		old.Peer = p
		next[p.ID] = old
	}
	s.peers = next
}

// Contacts tells of each controller when it last acknowledged a heartbeat.
func (s *Sender) Contacts() []Contact {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Contact, 0, len(s.peers))
	for _, p := range s.peers {
		all = append(all, p.contact)
	}
	return all
}

// Announce tells all controllers that this host's agent is about to stop, and
// returns once one of them has said that it noted it: within two seconds, or
// with an error. Every later heartbeat announces it too.
func (s *Sender) Announce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, announceFor)
	defer cancel()
	s.leaving.Store(true)
	again := time.NewTicker(announceEvery)
	defer again.Stop()
	for {
		s.sendAll()
		select {
		case <-s.noted:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("announce the stop of %s: no controller acknowledged it: %w", s.o.Host, ctx.Err())
		case <-again.C:
		}
	}
}

func (s *Sender) beat(ctx context.Context) {
	// Agents that start together (a rack's power returns) spread over the interval.
	select {
	case <-time.After(rand.N(s.o.Interval)):
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(s.o.Interval)
	defer tick.Stop()
	for {
		s.sendAll()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Sender) heartbeat() detector.Heartbeat {
	hb := detector.Heartbeat{Host: s.o.Host, Boot: s.o.Boot, Start: s.o.Start, Leaving: s.isLeaving()}
	if s.o.Ring != nil {
		hb.Ring = s.o.Ring()
	}
	if s.o.Sensors != nil {
		hb.Sensors = s.o.Sensors()
	}
	if s.o.Networks != nil {
		hb.Networks = s.o.Networks()
	}
	if s.o.Paths != nil {
		hb.Paths = s.o.Paths()
	}
	return hb
}

func (s *Sender) isLeaving() bool {
	return s.leaving.Load() || s.o.Leaving != nil && s.o.Leaving()
}

func (s *Sender) sendAll() {
	hb := s.heartbeat()
	s.mu.Lock()
	ids := make([]string, 0, len(s.peers))
	for id := range s.peers {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	for _, id := range ids {
		s.sendHeartbeat(id, hb)
	}
}

func (s *Sender) sendHeartbeat(id string, hb detector.Heartbeat) {
	omitted := 0
	s.send(id, kindHeartbeat, func(room int) []byte {
		if s.o.Lease != nil {
			// After the header: it must be no older than what the datagram answers.
			hb.Lease, hb.Watchdog = s.o.Lease()
		}
		payload, left := putHeartbeat(hb, room)
		omitted = left
		return payload
	})
	if omitted == 0 {
		return
	}
	s.omitted.Add(uint64(omitted))
	s.mu.Lock()
	told := s.toldOmit
	s.toldOmit = true
	s.mu.Unlock()
	if !told {
		s.o.Log.Warn("a heartbeat has no room for everything: some sensors or dead hosts are left out", "omitted", omitted)
	}
}

// send signs and sends one datagram to a controller, if it is still one.
func (s *Sender) send(id string, k kind, payload func(room int) []byte) {
	s.mu.Lock()
	p := s.peers[id]
	if p == nil {
		s.mu.Unlock()
		return
	}
	p.seq++
	p.sentAt[p.seq%recent] = s.o.Now()
	if s.o.Clocks != nil {
		p.leftAt[p.seq%recent] = s.o.Clocks()
	}
	h := header{kind: k, from: string(s.o.Host), to: id, key: s.o.KeyID, start: s.o.Start, seq: p.seq, echo: p.start, echoed: p.top}
	to := net.UDPAddrFromAddrPort(p.Address)
	s.mu.Unlock()

	if _, err := s.o.Conn.WriteTo(s.cluster.seal(h, payload(s.cluster.room(h)), s.o.Key, s.o.Signer), to); err != nil {
		s.sendFailed.Add(1)
		return
	}
	s.sent.Add(1)
}

func (s *Sender) listen(ctx context.Context) {
	buf := make([]byte, MaxDatagram+1)
	for {
		n, _, err := s.o.Conn.ReadFrom(buf)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// A refused port of a controller that is down shows up here.
			if !pause(ctx) {
				return
			}
			continue
		}
		s.received.Add(1)
		s.hear(ctx, buf[:n])
	}
}

// pause keeps a broken socket from eating a CPU.
func pause(ctx context.Context) bool {
	select {
	case <-time.After(10 * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Sender) hear(ctx context.Context, b []byte) {
	d, err := s.cluster.take(b)
	if err != nil {
		s.dropped(err)
		return
	}
	if d.to != string(s.o.Host) || d.kind != kindAck && d.kind != kindOrder {
		s.notForUs.Add(1)
		return
	}
	s.mu.Lock()
	p := s.peers[d.from]
	s.mu.Unlock()
	if p == nil {
		s.unknownPeer.Add(1)
		return
	}
	introduced, ok := s.admit(p, d)
	if !ok {
		return
	}
	s.accepted.Add(1)
	if d.kind == kindAck {
		s.acknowledged(p, d)
	} else {
		s.order(ctx, d)
	}
	if introduced {
		// It hears us, but does not count it before we repeat its start id.
		s.sendHeartbeat(d.from, s.heartbeat())
	}
}

// admit says whether a controller's datagram counts, and whether it is the
// first of a run of that controller.
func (s *Sender) admit(p *peer, d datagram) (introduced, ok bool) {
	s.mu.Lock()
	key := p.PublicKey
	s.mu.Unlock()
	if !s.cluster.verify(d, oneKey(key), s.o.Signer) {
		s.badSignature.Add(1)
		return false, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Without a fresh echo it may be a recording: of an ack that would feed a
	// watchdog, or of an order.
	if !proves(d, s.o.Start, p.seq) {
		s.unproven.Add(1)
		return false, false
	}
	switch p.judge(d.start, d.seq) {
	case replayed:
		s.replayed.Add(1)
		return false, false
	case newRun:
		p.adopt(d.start)
		introduced = true
	case fresh:
	}
	p.accept(d.seq)
	return introduced, true
}

func (s *Sender) acknowledged(p *peer, d datagram) {
	a, ok := getAck(d.payload)
	if !ok {
		s.malformed.Add(1)
		return
	}
	s.mu.Lock()
	if sent := p.sentAt[d.echoed%recent]; sent.After(p.contact.Heard) {
		p.contact.Heard, p.contact.Status = sent, a.Status
		if a.counted {
			p.contact.Counted, p.contact.Word = p.leftAt[d.echoed%recent], a.Word
		}
	}
	s.mu.Unlock()
	if a.leaving && s.leaving.Load() {
		s.note.Do(func() { close(s.noted) })
	}
}
