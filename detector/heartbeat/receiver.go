package heartbeat

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// ErrNoPath says that a host cannot be ordered anything: it was not heard yet.
var ErrNoPath = errors.New("not heard yet")

// Receiver is a controller's end: it hears heartbeats, acknowledges them and
// orders probes.
type Receiver struct {
	o       ReceiverOptions
	cluster cluster
	counters
	start  string // our own run
	stop   context.CancelFunc
	owned  sync.WaitGroup
	closed atomic.Bool

	mu    sync.Mutex
	hosts map[nova.HostName]*agent
	open  map[uint64]openOrder
}

// agent is one host. Its fields are guarded by Receiver.mu.
type agent struct {
	session
	from   netip.AddrPort    // where its newest datagram came from
	seq    uint64            // of our newest datagram to it
	heard  uint64            // number of its newest heartbeat: results may overtake it
	sentAt [recent]time.Time // when each of our newest datagrams to it left
}

type openOrder struct {
	to    nova.HostName
	order Order
	sent  time.Time
}

// orderOpen is how long results of an order are taken.
const orderOpen = orderTime + 5*time.Second

// receiveBuffer is asked of the kernel: a burst of 1000 hosts and more.
const receiveBuffer = 4 << 20

// Listen begins to receive. ctx bounds the start only; Close ends it.
func Listen(ctx context.Context, o ReceiverOptions) (*Receiver, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	var run [16]byte
	if _, err := rand.Read(run[:]); err != nil {
		return nil, fmt.Errorf("heartbeat: make a start id: %w", err)
	}
	o.KeyID = publicKeyID(o.KeyID, o.Key)
	o.Signer = orEdwards(o.Signer)
	if c, ok := o.Conn.(interface{ SetReadBuffer(int) error }); ok {
		// Less is no fault: the kernel's default holds some hundred heartbeats.
		_ = c.SetReadBuffer(receiveBuffer)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	r := &Receiver{
		o: o, cluster: clusterOf(o.ClusterID), start: hex.EncodeToString(run[:]), stop: stop,
		hosts: map[nova.HostName]*agent{}, open: map[uint64]openOrder{},
	}
	r.owned.Go(func() { r.listen(ctx) })
	return r, nil
}

// Close stops receiving and closes the connection.
func (r *Receiver) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	r.stop()
	err := r.o.Conn.Close()
	r.owned.Wait()
	return err
}

// Stats counts what happened so far.
func (r *Receiver) Stats() Stats { return r.stats() }

// Forget drops a host that was removed.
func (r *Receiver) Forget(host nova.HostName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.hosts, host)
}

// Order asks the agent of host to to probe another host. It returns when the
// order has left; its results, if any, come by OnProbes.
func (r *Receiver) Order(ctx context.Context, to nova.HostName, o Order) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("order %s to probe %s: %w", to, o.Host, err)
	}
	if err := o.check(); err != nil {
		return fmt.Errorf("order %s to probe %s: %w", to, o.Host, err)
	}
	id, err := r.note(to, o)
	if err != nil {
		return fmt.Errorf("order %s to probe %s: %w", to, o.Host, err)
	}
	if err := r.send(to, kindOrder, putOrder(id, o)); err != nil {
		return fmt.Errorf("order %s to probe %s: %w", to, o.Host, err)
	}
	return nil
}

func (o Order) check() error {
	switch {
	case o.Host == "" || len(o.Host) > maxHost:
		return fmt.Errorf("host must have 1 to %d bytes", maxHost)
	case len(o.Addresses) == 0 || len(o.Addresses) > MaxOrderAddresses:
		return fmt.Errorf("1 to %d addresses are needed", MaxOrderAddresses)
	case len(o.Ports) > MaxOrderPorts:
		return fmt.Errorf("at most %d ports", MaxOrderPorts)
	}
	for _, a := range o.Addresses {
		if !a.Addr.IsValid() || a.Addr.Zone() != "" || len(a.Network) > maxID {
			return fmt.Errorf("address %v of network %q cannot be ordered", a.Addr, a.Network)
		}
	}
	if slices.Contains(o.Ports, 0) {
		return errors.New("port 0 cannot be ordered")
	}
	return nil
}

// note opens an order: nobody can send results that were not asked for.
func (r *Receiver) note(to nova.HostName, o Order) (id uint64, err error) {
	var raw [8]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return 0, fmt.Errorf("make an order id: %w", err)
	}
	now := r.o.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, open := range r.open {
		if now.Sub(open.sent) > orderOpen {
			delete(r.open, id)
		}
	}
	if a := r.hosts[to]; a == nil || a.start == "" {
		return 0, ErrNoPath
	}
	id = binary.BigEndian.Uint64(raw[:])
	r.open[id] = openOrder{to: to, order: o, sent: now}
	return id, nil
}

func (r *Receiver) listen(ctx context.Context) {
	buf := make([]byte, MaxDatagram+1)
	for {
		n, from, err := r.o.Conn.ReadFrom(buf)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if !pause(ctx) {
				return
			}
			continue
		}
		at := r.o.Now()
		r.received.Add(1)
		r.hear(buf[:n], addrPort(from), at)
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		ap := u.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return ap
}

func (r *Receiver) hear(b []byte, from netip.AddrPort, at time.Time) {
	d, err := r.cluster.take(b)
	if err != nil {
		r.dropped(err)
		return
	}
	if d.to != r.o.ID || d.kind != kindHeartbeat && d.kind != kindResult {
		r.notForUs.Add(1)
		return
	}
	keys, known := r.o.Hosts(nova.HostName(d.from))
	if !known {
		r.unknownPeer.Add(1)
		return
	}
	if !r.cluster.verify(d, keys, r.o.Signer) {
		r.badSignature.Add(1)
		return
	}
	newest, ok := r.admit(d, from, at)
	if !ok {
		return
	}
	r.accepted.Add(1)
	if d.kind == kindHeartbeat {
		r.heartbeat(d, from, at, newest)
	} else {
		r.results(d, at)
	}
}

// admit says whether a host's datagram counts, and whether it is its newest
// heartbeat.
func (r *Receiver) admit(d datagram, from netip.AddrPort, at time.Time) (newest, ok bool) {
	host := nova.HostName(d.from)
	r.mu.Lock()
	a := r.hosts[host]
	if a == nil {
		a = &agent{}
		r.hosts[host] = a
	}
	verdict := a.judge(d.start, d.seq)
	proved := proves(d, r.start, a.seq)
	switch {
	case verdict == replayed:
		r.mu.Unlock()
		r.replayed.Add(1)
		return false, false
	case verdict == newRun && !proved:
		r.mu.Unlock()
		r.unproven.Add(1)
		r.introduce(d, from, at)
		return false, false
	case verdict == newRun:
		a.adopt(d.start)
		a.heard = 0
	}
	if a.accept(d.seq) {
		a.from = from
	}
	if newest = d.kind == kindHeartbeat && d.seq > a.heard; newest {
		a.heard = d.seq
	}
	r.mu.Unlock()
	return newest, true
}

// introduce answers the first datagram of a run with our start id, to where it
// came from. Nothing else is changed by it: it may be a recording.
func (r *Receiver) introduce(d datagram, from netip.AddrPort, at time.Time) {
	host := nova.HostName(d.from)
	_ = r.sendTo(host, kindAck, putAck(ack{Status: r.status()}), from, d.start, d.seq)
	if r.o.OnUnproven != nil {
		r.o.OnUnproven(host, at)
	}
}

func (r *Receiver) status() Status {
	if r.o.Status == nil {
		return Status{}
	}
	return r.o.Status()
}

func (r *Receiver) heartbeat(d datagram, from netip.AddrPort, at time.Time, newest bool) {
	hb, ok := getHeartbeat(d)
	if !ok {
		r.malformed.Add(1)
		return
	}
	// An overtaken heartbeat says nothing new, and must not undo a newer one's
	// leaving.
	if !newest {
		return
	}
	hb.Sent = r.answers(d)
	// Noted before it is acknowledged: an acknowledgement lets a host live that would
	// reset itself, so nobody may report it silent after that.
	r.o.OnHeartbeat(hb, from, at)
	a := ack{Status: r.status(), leaving: hb.Leaving, counted: true}
	if r.o.Word != nil {
		a.Word = r.o.Word(hb.Host, hb.Start)
	}
	_ = r.send(hb.Host, kindAck, putAck(a))
}

// answers is when the newest datagram of ours left that d knows of; zero: none.
func (r *Receiver) answers(d datagram) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.hosts[nova.HostName(d.from)]
	if a == nil || !proves(d, r.start, a.seq) {
		return time.Time{}
	}
	return a.sentAt[d.echoed%recent]
}

func (r *Receiver) results(d datagram, at time.Time) {
	id, results, ok := getResults(d.payload)
	if !ok {
		r.malformed.Add(1)
		return
	}
	r.mu.Lock()
	open, asked := r.open[id]
	r.mu.Unlock()
	if !asked || string(open.to) != d.from || at.Sub(open.sent) > orderOpen {
		r.refused.Add(1)
		return
	}
	var probes []detector.Probe
	for _, res := range results {
		if !slices.ContainsFunc(open.order.Addresses, func(a Address) bool { return a.Network == res.Network }) {
			r.refused.Add(1)
			continue
		}
		p := res.Probe
		p.Observer, p.Host = detector.Observer(d.from), open.order.Host
		p.Began = p.Answer.Began(open.sent, at.Add(-res.age))
		probes = append(probes, p)
	}
	if len(probes) > 0 {
		r.o.OnProbes(probes)
	}
}

// send signs and sends one datagram to a host whose run is known.
func (r *Receiver) send(host nova.HostName, k kind, payload []byte) error {
	r.mu.Lock()
	a := r.hosts[host]
	if a == nil || a.start == "" || !a.from.IsValid() {
		r.mu.Unlock()
		return ErrNoPath
	}
	to, start, top := a.from, a.start, a.top
	r.mu.Unlock()
	return r.sendTo(host, k, payload, to, start, top)
}

func (r *Receiver) sendTo(host nova.HostName, k kind, payload []byte, to netip.AddrPort, echo string, echoed uint64) error {
	r.mu.Lock()
	a := r.hosts[host]
	if a == nil {
		r.mu.Unlock()
		return ErrNoPath
	}
	a.seq++
	a.sentAt[a.seq%recent] = r.o.Now()
	h := header{kind: k, from: r.o.ID, to: string(host), key: r.o.KeyID, start: r.start, seq: a.seq, echo: echo, echoed: echoed}
	r.mu.Unlock()
	b := r.cluster.seal(h, payload, r.o.Key, r.o.Signer)
	if len(b) > MaxDatagram {
		return fmt.Errorf("datagram of %d bytes", len(b))
	}
	if _, err := r.o.Conn.WriteTo(b, net.UDPAddrFromAddrPort(to)); err != nil {
		r.sendFailed.Add(1)
		return err
	}
	r.sent.Add(1)
	return nil
}
