package app

import (
	"context"
	"crypto/ed25519"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/watchdog"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// guard is an agent's lease: what it knows of the controllers, its watchdog if it has
// one, and its answers to others who have lost the controllers.
type guard struct {
	a       *Agent
	feeder  *watchdog.Feeder
	orphans *heartbeat.Orphans
	mail    chan []byte

	mu    sync.Mutex
	acked map[string]fence.Clocks
	watch bool // as the leader last said
	term  uint64
	noted uint64
	start string // of the run that noted is about
	asked time.Time
}

const (
	// promiseFile keeps what was promised of the watchdog in this boot.
	promiseFile = "watchdog.json"
	// askEvery is how often the ring is asked while the lease runs out.
	askEvery = 2 * time.Second
	// mostMail is how many messages of others may wait.
	mostMail = 1024
	// disarmWithin is how long a stop waits until the ledger has noted that the
	// watchdog does not answer for this host any more.
	disarmWithin = 4 * time.Second
)

func newGuard(a *Agent) (*guard, error) {
	g := &guard{a: a, acked: map[string]fence.Clocks{}, mail: make(chan []byte, mostMail)}
	w := a.cfg.Watchdog
	o := watchdog.Options{Host: a.cfg.Host, Boot: a.boot, Lease: w.Lease, Software: w.Software, File: filepath.Join(a.cfg.DataDir, promiseFile),
		Clock: g.clocks, Log: a.log, Open: func(timeout time.Duration) (watchdog.Device, error) { return a.seams.watchdog(w.Device, timeout) }}
	if w.Device != "" {
		o.Timeout = w.Timeout
	}
	var err error
	if g.feeder, err = watchdog.New(o); err != nil {
		return nil, err
	}
	return g, nil
}

func (g *guard) clocks() fence.Clocks {
	r := g.a.clock.Read()
	return fence.Clocks{Mono: r.Mono, Boot: r.Boot}
}

func (g *guard) instant() heartbeat.Instant { return heartbeat.Instant(g.clocks()) }

// begin makes the guard answer others. The ring must be open.
func (g *guard) begin() {
	a := g.a
	g.orphans = heartbeat.NewOrphans(heartbeat.OrphanOptions{Host: nova.HostName(a.cfg.Host), Start: a.start, Signer: a.seams.Signer, ClusterID: a.ident.ClusterID,
		Key: a.key, Hosts: a.keysOf, Lost: g.feeder.Lost, Clocks: g.instant,
		Send:   func(to nova.HostName, message []byte) error { return a.ring.Send(string(to), message) },
		OnLost: func(host nova.HostName, asked heartbeat.Instant) { g.feeder.Told(string(host), fence.Clocks(asked)) }})
	a.stop.wg.Go(func() {
		for {
			select {
			case <-a.stop.ctx.Done():
				return
			case message := <-g.mail:
				if a.ways.indirect.hear(a.stop.ctx, message) {
					continue
				}
				g.look()
				g.orphans.Hear(message)
			}
		}
	})
	a.stop.onStop("the watchdog", g.feeder.Close)
	a.stop.every(watchdog.Every, g.tick)
}

// take queues a message of the ring; one too many is asked again.
func (g *guard) take(message []byte) {
	select {
	case g.mail <- message:
	default:
	}
}

// look takes over what the controllers have acknowledged. What was acknowledged to
// a former run of the sender stays true.
func (g *guard) look() watchdog.Seen {
	a := g.a
	a.mu.Lock()
	sender, ring := a.sender, slices.Sorted(maps.Keys(a.roster.Keys))
	var voters []string
	for _, c := range a.roster.Controllers {
		voters = append(voters, c.ID)
	}
	start := a.spoken
	a.mu.Unlock()
	slices.Sort(voters)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.start != start {
		g.start, g.noted = start, 0
	}
	if sender != nil {
		for _, c := range sender.Contacts() {
			g.contact(c)
		}
	}
	seen := watchdog.Seen{Acked: maps.Clone(g.acked)}
	seen.Allowed, seen.Leaving, seen.Noted, seen.Voters = g.watch, a.leaving.Load(), g.noted, voters
	for _, h := range ring {
		seen.Ring = append(seen.Ring, string(h))
	}
	g.feeder.Know(seen)
	return seen
}

func (g *guard) contact(c heartbeat.Contact) {
	if c.Counted == (heartbeat.Instant{}) {
		return
	}
	if at := fence.Clocks(c.Counted); g.acked[c.ID].Boot < at.Boot {
		g.acked[c.ID] = at
	}
	g.noted = max(g.noted, c.Noted)
	if c.Leader == c.ID && c.Term >= g.term {
		g.term, g.watch = c.Term, c.Watch
	}
}

// tick feeds, or does not.
func (g *guard) tick(context.Context) {
	seen := g.look()
	if !g.feeder.Tick(seen) {
		return
	}
	g.mu.Lock()
	due := g.a.clock.Now().Sub(g.asked) >= askEvery
	if due {
		g.asked = g.a.clock.Now()
	}
	g.mu.Unlock()
	if due {
		hosts := make([]nova.HostName, 0, len(seen.Ring))
		for _, h := range seen.Ring {
			hosts = append(hosts, nova.HostName(h))
		}
		if err := g.orphans.Ask(hosts); err != nil {
			g.a.log.Debug("not all hosts could be asked whether they have lost the controllers", "reason", err)
		}
	}
}

// lease is what heartbeats tell.
func (g *guard) lease() (time.Duration, *detector.Watchdog) {
	g.look()
	s := g.feeder.Status()
	if !s.Watched {
		return s.Held, nil
	}
	ring := make([]nova.HostName, 0, len(s.Terms.Ring))
	for _, h := range s.Terms.Ring {
		ring = append(ring, nova.HostName(h))
	}
	return s.Held, &detector.Watchdog{Serial: s.Serial, Armed: s.Armed, Lease: s.Terms.Lease, Timeout: s.Terms.Timeout,
		Voters: s.Terms.Voters, Ring: evacuate.RingName(ring), Software: s.Info.Software, NoWayOut: s.Info.NoWayOut}
}

// disarm waits until the watchdog is disarmed, once the agent is leaving.
func (g *guard) disarm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, disarmWithin)
	defer cancel()
	for g.feeder.Counting() {
		if g.a.clock.Sleep(ctx, 100*time.Millisecond) != nil {
			return
		}
	}
}

func (a *Agent) key() ed25519.PrivateKey {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ident.Key
}

func (a *Agent) keysOf(host nova.HostName) (keys []ed25519.PublicKey, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.roster.Keys[host] {
		keys = append(keys, ed25519.PublicKey(k))
	}
	return keys, len(keys) > 0
}
