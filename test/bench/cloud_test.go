// Package bench measures detection: how soon a death becomes a verdict, how
// often the healthy are taken for dead, and what watching costs. Rings,
// heartbeats and the judge are the production ones, in BenchmarkDetection whole
// controllers and agents; the network and the time are not real (testing/synctest),
// so figures of time hold for a network without congestion and processes that are
// not starved, and do not depend on the load of the machine that measures.
package bench

import (
	"bytes"
	"crypto/ed25519"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/gossip"
	"github.com/lifeboat-ha/lifeboat/detector/gossip/gossiptest"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/nova"
)

var profile = flag.String("profile", string(gossip.ProfileDefault), "the ring's profile, of the benchmarks whose rows do not name one")

// clouds runs a benchmark for each size, up to most.
func clouds(b *testing.B, most int, run func(b *testing.B, hosts int)) {
	for _, n := range scope().hosts {
		if n <= most {
			b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) { run(b, n) })
		}
	}
}

// inBubble runs f in virtual time; benchmarks have no bubbles of their own.
func inBubble(b *testing.B, f func(*testing.T)) {
	b.Helper()
	all := func(_, _ string) (bool, error) { return true, nil }
	test := testing.InternalTest{Name: b.Name(), F: func(t *testing.T) { synctest.Test(t, f) }}
	if !testing.RunTests(all, []testing.InternalTest{test}) {
		b.Fatal("failed in its bubble")
	}
}

const (
	voters = 3
	bootID = "0e4a1c9a-5d2e-4b8e-9c52-6a6d4c2b3f11"
)

// parts says what of a cloud runs.
type parts struct{ gossip, heartbeat bool }

type cloud struct {
	t     *testing.T
	net   *gossiptest.Network
	parts parts
	known []gossip.Peer
	nodes []*node // the first are the controllers
	stop  chan struct{}
	done  sync.WaitGroup

	mu     sync.Mutex
	table  *detector.Table
	policy detector.Policy
	dead   map[nova.HostName]time.Time // first verdict
	wrong  map[nova.HostName]int       // rounds in which the living were judged dead
	doubts int                         // rounds in which the living were suspect
}

type node struct {
	name     string
	id       string // a controller's
	addr     netip.Addr
	key      ed25519.PrivateKey
	member   *gossip.Member
	sender   *heartbeat.Sender
	receiver *heartbeat.Receiver

	// Guarded by cloud.mu.
	sick     bool            // killed or cut: whatever is said of it is no mistake
	falseRng map[string]bool // for whom, while it lived
}

func newCloud(t *testing.T, hosts int, p parts) *cloud {
	c := &cloud{t: t, net: gossiptest.New(1), parts: p, stop: make(chan struct{}), policy: detector.DefaultPolicy(),
		dead: map[nova.HostName]time.Time{}, wrong: map[nova.HostName]int{}}
	c.table = detector.NewTable(c.policy)
	c.net.SetDelay(200 * time.Microsecond)
	for i := range hosts + voters {
		seed := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, ed25519.SeedSize/2)
		n := &node{name: fmt.Sprintf("compute-%04d", i), addr: netip.AddrFrom4([4]byte{10, 0, byte(i / 250), byte(i%250 + 1)}),
			key: ed25519.NewKeyFromSeed(seed), falseRng: map[string]bool{}}
		if i < voters {
			n.id = fmt.Sprintf("c%d", i+1)
			n.name = gossip.ControllerName(n.id)
		} else {
			c.table.SetDomain(nova.HostName(n.name), detector.Domain(fmt.Sprintf("rack-%d", i%5)))
		}
		c.nodes = append(c.nodes, n)
		c.known = append(c.known, gossip.Peer{Name: n.name, Addr: netip.AddrPortFrom(n.addr, 7946)})
	}
	for i, n := range c.nodes {
		c.start(n)
		if i%10 == 0 {
			time.Sleep(50 * time.Millisecond)
		}
	}
	if p.gossip {
		c.await()
	}
	return c
}

// await waits until everybody sees everybody.
func (c *cloud) await() {
	c.t.Helper()
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		missing := 0
		for _, n := range c.nodes {
			if v := n.member.View(); v.Alive < len(c.nodes) {
				missing++
			}
		}
		if missing == 0 {
			return
		}
	}
	c.t.Fatal("the ring never became whole")
}

func (c *cloud) close() {
	close(c.stop)
	c.done.Wait()
	for _, n := range c.nodes {
		if n.member != nil {
			n.member.Close()
		}
		if n.sender != nil {
			n.sender.Close()
		}
		if n.receiver != nil {
			n.receiver.Close()
		}
	}
	time.Sleep(2 * time.Minute) // memberlist's goroutines end with their timers
}

func (c *cloud) start(n *node) {
	if c.parts.gossip {
		c.startMember(n)
	}
	if c.parts.heartbeat {
		c.startHeartbeat(n)
	}
}

func (c *cloud) startMember(n *node) {
	role := gossip.RoleAgent
	if n.id != "" {
		role = gossip.RoleController
	}
	at := netip.AddrPortFrom(n.addr, 7946)
	m, err := gossip.Open(c.t.Context(), gossip.Options{
		Name: n.name, Bind: at, Keys: [][]byte{bytes.Repeat([]byte{7}, 32)}, Label: "0e4a1c9a-5d2e-4b8e-9c52-6a6d4c2b3f10",
		Profile:   gossip.Profile(*profile),
		Meta:      gossip.Meta{Role: role, Boot: bootID, Start: "0123456789abcdef0123456789abcdef", Domain: "rack-1", Version: "0.1.0"},
		Known:     func() []gossip.Peer { return c.known },
		Transport: c.net.Transport(at),
		OnEvent:   func(e gossip.Event) { c.onEvent(n, e) },
		Now:       time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	n.member = m
}

func (c *cloud) startHeartbeat(n *node) {
	conn, err := c.net.PacketConn(netip.AddrPortFrom(n.addr, 7947))
	if err != nil {
		c.t.Fatal(err)
	}
	if n.id != "" {
		n.receiver, err = heartbeat.Listen(c.t.Context(), heartbeat.ReceiverOptions{
			ID: n.id, Key: n.key, ClusterID: "cloud-a", Conn: conn,
			Hosts: c.keys,
			OnHeartbeat: func(hb detector.Heartbeat, _ netip.AddrPort, at time.Time) {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.table.Heartbeat(detector.Observer(n.id), hb, at)
			},
			OnProbes: func([]detector.Probe) {},
			Now:      time.Now, Log: slog.New(slog.DiscardHandler),
		})
	} else {
		o := heartbeat.SenderOptions{
			Host: nova.HostName(n.name), Key: n.key, ClusterID: "cloud-a", Conn: conn,
			Boot: bootID, Start: "0123456789abcdef0123456789abcdef",
			Sensors: func() map[string]string {
				return map[string]string{"nova-compute": "up", "libvirt": "up", "vip": "1111"}
			},
			Now: time.Now, Log: slog.New(slog.DiscardHandler),
		}
		if n.member != nil {
			o.Ring = n.member.View
		}
		for _, v := range c.nodes[:voters] {
			o.Controllers = append(o.Controllers, heartbeat.Peer{ID: v.id, Address: netip.AddrPortFrom(v.addr, 7947), PublicKey: v.key.Public().(ed25519.PublicKey)})
		}
		n.sender, err = heartbeat.Start(c.t.Context(), o)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cloud) keys(h nova.HostName) ([]ed25519.PublicKey, bool) {
	i, err := strconv.Atoi(strings.TrimPrefix(string(h), "compute-"))
	if err != nil || i >= len(c.nodes) {
		return nil, false
	}
	return []ed25519.PublicKey{c.nodes[i].key.Public().(ed25519.PublicKey)}, true
}
