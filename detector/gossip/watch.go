package gossip

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// watchEvery is how often the watch looks, stallAfter the gap between two
	// looks that means that this process stood still. The least suspicion is
	// 4 s (default profile) and 2.5 s (fast): a member that stood still for
	// less than stallAfter has not accused anybody yet.
	watchEvery = 250 * time.Millisecond
	stallAfter = 1500 * time.Millisecond
	// quietAfter is for how long a member that has joined again does not vote.
	quietAfter = 5 * time.Second
	// knownEvery is how often the roster is read, pruneEvery how often the
	// forgotten are dropped.
	knownEvery = 5 * time.Second
	pruneEvery = time.Hour
	// countEvery is how often it is counted whether the view has collapsed.
	countEvery = time.Second
	// askAfter is without how many answers, in probe intervals, a member asks
	// several others at once whether it is cut off.
	askAfter = 2.5
	// asked is how many it asks, fewest how many others there must be for
	// their silence to mean something, and checksFailed how often in a row
	// nobody answers before it believes it.
	asked        = 8
	fewest       = 3
	checksFailed = 2
	// illScore is the health score from which a member may have suspected
	// others by its own fault: a probe failed, and nobody who was to help
	// answered either.
	illScore = 3
	// cureEvery bounds how often it then compares notes.
	cureEvery = 20 * time.Second
)

// overdue says that the watch has not looked for too long: this process stands
// still, or did until this instant.
func (m *Member) overdue() bool {
	return m.uptime()-time.Duration(m.beat.Load()) > stallAfter
}

func (m *Member) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var readKnown, pruned time.Duration
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if m.overdue() {
			m.renew(Stalled)
		}
		up := m.uptime()
		m.beat.Store(int64(up))
		if up-readKnown >= knownEvery {
			readKnown = up
			m.readKnown()
		}
		if up-pruned >= pruneEvery {
			pruned = up
			m.mu.Lock()
			m.prune(m.o.Now())
			m.mu.Unlock()
		}
		m.look(up, &asking)
	}
}

func (m *Member) readKnown() {
	known := m.o.Known()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = known
}

// look does what one round of the watch finds necessary.
func (m *Member) look(up time.Duration, asking *sync.WaitGroup) {
	m.mu.Lock()
	g, list, left := m.now, m.list(), m.left || m.closed
	m.mu.Unlock()
	if left {
		return
	}
	if list == nil {
		// The sockets could not be opened after a renewal.
		if err := m.create(Stalled); err == nil {
			m.joinNow()
		}
		return
	}
	score := list.GetHealthScore()
	m.mu.Lock()
	collapsed := up-g.counted >= countEvery && m.collapsed(g, up)
	isolated := g.alone >= checksFailed
	ask := m.mustAsk(g, up)
	cure := m.mayCure(g, up, score)
	m.mu.Unlock()
	switch {
	case isolated:
		m.renew(Isolated)
	case collapsed:
		m.renew(Collapsed)
	case ask:
		asking.Go(func() { m.ask(g, list) })
	case cure:
		m.joinNow()
	}
}

// collapsed says, once for each object, that a view which was whole has lost
// its half. Must be called with mu held.
func (m *Member) collapsed(g *generation, up time.Duration) bool {
	g.counted = up
	alive, known := m.countAlive(), m.countKnown()
	if 2*alive >= known {
		g.whole = g.joined
		return false
	}
	was := g.whole
	g.whole = false
	return was
}

// mustAsk says that no ping was answered directly for too long. Must be called
// with mu held.
func (m *Member) mustAsk(g *generation, up time.Duration) bool {
	patience := time.Duration(askAfter * float64(profiles[m.o.profile()].probe))
	switch {
	case up-time.Duration(g.acked.Load()) < patience:
		return false
	case g.checked != 0 && up-g.checked < time.Second:
		return false
	case m.countAlive()-1 < fewest:
		return false
	}
	g.checked = up
	return true
}

// ask pings several members at once. Nobody's answer means that the cut is
// ours: memberlist by itself would need 40 to 80 s for that, and accuse
// everybody meanwhile.
func (m *Member) ask(g *generation, list *memberlist.Memberlist) {
	targets := m.some(asked)
	answers := make(chan bool, len(targets))
	var pings sync.WaitGroup
	for _, t := range targets {
		pings.Go(func() {
			_, err := list.Ping(t.Name, net.UDPAddrFromAddrPort(t.Addr))
			answers <- err == nil
		})
	}
	pings.Wait()
	close(answers)
	answered := false
	for a := range answers {
		answered = answered || a
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	g.dipped, g.dipAt = true, m.uptime()
	if answered {
		g.alone = 0
		g.acked.Store(int64(m.uptime()))
		return
	}
	g.alone++
}

// some picks members that are alive, a few controllers first: they are the
// least likely to be dead.
func (m *Member) some(n int) (some []Peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var controllers, hosts []Peer
	for name, p := range m.peers {
		switch {
		case p.state != Alive || name == m.o.Name:
		case isController(name):
			controllers = append(controllers, p.Peer)
		default:
			hosts = append(hosts, p.Peer)
		}
	}
	shuffle(controllers)
	shuffle(hosts)
	controllers = controllers[:min(len(controllers), 2)]
	return append(controllers, hosts[:min(len(hosts), n-len(controllers))]...)
}

func shuffle(peers []Peer) {
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
}

// mayCure says that this member was ill and is answered again. What it holds
// suspect may be healthy, does not know that it is accused, and would be
// declared dead up to a minute later: comparing notes with any member tells
// the accused, who refute. Must be called with mu held.
func (m *Member) mayCure(g *generation, up time.Duration, score int) bool {
	if score >= illScore && !g.dipped {
		g.dipped, g.dipAt = true, up
	}
	if !g.dipped || time.Duration(g.acked.Load()) < g.dipAt || m.standing.curedAt != 0 && up-m.standing.curedAt < cureEvery {
		return false
	}
	g.dipped, g.cure = false, true
	m.standing.curedAt = up
	return true
}

// renew replaces the memberlist object by a fresh one, which knows nobody and
// accuses nobody, and joins again.
func (m *Member) renew(why Renewal) {
	m.mu.Lock()
	if m.left || m.closed {
		m.mu.Unlock()
		return
	}
	m.stats.Renewals[why]++
	m.forget(m.o.Now())
	m.standing.stalledUntil = never
	m.mu.Unlock()
	m.o.Log.Warn("this member of the ring begins anew", "reason", string(why))
	_ = m.retire()
	if err := m.create(why); err != nil {
		m.o.Log.Error("the ring cannot be opened again yet", "error", err)
	}
	m.joinNow()
}

// never is when a member that has not joined again may vote.
const never = time.Duration(1<<63 - 1)
