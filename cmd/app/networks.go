package app

import (
	"cmp"
	"context"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// networksEvery is how often an agent asks others on each of its networks,
	// networksTime bounds one round: two questions of a second, one after the other.
	networksEvery = 5 * time.Second
	networksTime  = 4 * time.Second
	// askReach is how many it asks; only if nobody answers, all that it knows.
	askReach = 3
	// rosterPeers is how many others an agent is told to ask.
	rosterPeers = 8
)

// rosterPeer is another host that an agent asks whether its own networks work.
type rosterPeer struct {
	Host      nova.HostName       `json:"host"`
	Addresses []heartbeat.Address `json:"addresses"`
}

// peersOf chooses whom a host asks: always the same, each other host about as
// often, and most of them of other failure domains.
func (c *Controller) peersOf(self nova.HostName) []rosterPeer {
	type candidate struct {
		rosterPeer
		far   bool
		score uint64
	}
	var all []candidate
	for _, h := range c.cfg.Hosts {
		name := nova.HostName(h.Name)
		if name == self || len(c.addresses[name]) == 0 {
			continue
		}
		sum := fnv.New64a()
		_, _ = sum.Write([]byte(string(self) + "\x00" + h.Name))
		all = append(all, candidate{rosterPeer{name, c.addresses[name]}, h.Domain == "" || h.Domain != c.racks[self], sum.Sum64()})
	}
	slices.SortFunc(all, func(a, b candidate) int {
		if a.far != b.far {
			if a.far {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.score, b.score)
	})
	var peers []rosterPeer
	for _, p := range all[:min(len(all), rosterPeers)] {
		peers = append(peers, p.rosterPeer)
	}
	return peers
}

// reach is an agent's watch over its own networks.
type reach struct {
	prober Prober
	now    func() time.Time

	mu   sync.Mutex
	last map[string]reached
	ever map[string]bool // has reached somebody there since the start
}

type reached struct {
	asked, answered int
	at              time.Time
}

// look asks others on each network. A network on which nobody was ever reached
// is not told of: a firewall looks the same.
func (r *reach) look(ctx context.Context, networks []string, peers []rosterPeer) {
	ctx, cancel := context.WithTimeout(ctx, networksTime)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	for _, network := range networks {
		all.Go(func() {
			began := r.now()
			targets := on(network, peers)
			if len(targets) == 0 {
				return
			}
			first := min(askReach, len(targets))
			asked, answered := first, r.ask(ctx, targets[:first])
			if answered == 0 && first < len(targets) {
				asked, answered = len(targets), r.ask(ctx, targets[first:])
			}
			if ctx.Err() != nil && answered == 0 {
				return // broken off: says nothing
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.ever[network] = r.ever[network] || answered > 0
			r.last[network] = reached{asked, answered, began}
		})
	}
}

// on gives the others' addresses on one network, in an order of chance.
func on(network string, peers []rosterPeer) []rosterPeer {
	var there []rosterPeer
	for _, p := range peers {
		as := slices.DeleteFunc(slices.Clone(p.Addresses), func(a heartbeat.Address) bool { return a.Network != network })
		if len(as) > 0 {
			there = append(there, rosterPeer{p.Host, as})
		}
	}
	rand.Shuffle(len(there), func(i, j int) { there[i], there[j] = there[j], there[i] })
	return there
}

// ask says how many of the targets answered.
func (r *reach) ask(ctx context.Context, targets []rosterPeer) (answered int) {
	answers := make(chan bool, len(targets))
	var asked sync.WaitGroup
	for _, t := range targets {
		asked.Go(func() {
			answers <- slices.ContainsFunc(r.prober.Touch(ctx, t.Host, t.Addresses, nil), func(p detector.Probe) bool { return p.Answer == detector.Answered })
		})
	}
	asked.Wait()
	close(answers)
	for yes := range answers {
		if yes {
			answered++
		}
	}
	return answered
}

// sights is what a heartbeat tells.
func (r *reach) sights() []detector.Reach {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	var all []detector.Reach
	for _, network := range detector.Networks {
		if l, ok := r.last[network]; ok && r.ever[network] {
			all = append(all, detector.Reach{Network: network, Asked: l.asked, Reached: l.answered, Age: now.Sub(l.at)})
		}
	}
	return all
}
