package app

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// fakeNet answers on the networks that work.
type fakeNet struct {
	mu    sync.Mutex
	works map[string]bool
	dead  map[nova.HostName]bool
	asked int
}

func (f *fakeNet) Probe(ctx context.Context, host nova.HostName, addrs []heartbeat.Address, ports []uint16) []detector.Probe {
	return f.Touch(ctx, host, addrs, ports)
}

func (f *fakeNet) Touch(_ context.Context, host nova.HostName, addrs []heartbeat.Address, _ []uint16) []detector.Probe {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	var ps []detector.Probe
	for _, a := range addrs {
		p := detector.Probe{Host: host, Network: a.Network, Answer: detector.Failed} // its own route is gone
		if f.works[a.Network] && !f.dead[host] {
			p.Answer = detector.Answered
		}
		ps = append(ps, p)
	}
	return ps
}

func somePeers(n int, networks ...string) (peers []rosterPeer) {
	for i := range n {
		p := rosterPeer{Host: nova.HostName(fmt.Sprintf("cmp%d", i))}
		for _, network := range networks {
			p.Addresses = append(p.Addresses, heartbeat.Address{Network: network, Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})})
		}
		peers = append(peers, p)
	}
	return peers
}

// TestReach tells of a network only once somebody was reached there, and asks
// everybody before it says that nobody answers.
func TestReach(t *testing.T) {
	now := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	f := &fakeNet{works: map[string]bool{"management": true}, dead: map[nova.HostName]bool{}}
	r := &reach{prober: f, now: func() time.Time { return now }, last: map[string]reached{}, ever: map[string]bool{}}
	peers := append(somePeers(6, "management", "storage"), rosterPeer{Host: "only", Addresses: []heartbeat.Address{{Network: "tenant"}}})
	networks := []string{"management", "storage"}
	look := func() map[string]detector.Reach {
		f.asked = 0
		r.look(t.Context(), networks, peers)
		now = now.Add(2 * time.Second)
		got := map[string]detector.Reach{}
		for _, s := range r.sights() {
			got[s.Network] = s
		}
		return got
	}
	got := look()
	if s := got["management"]; s.Asked != askReach || s.Reached != askReach || s.Age != 2*time.Second {
		t.Errorf("management works: %+v", s)
	}
	if s, told := got["storage"]; told {
		t.Errorf("storage never worked, and it tells %+v: a firewall looks the same", s)
	}
	if f.asked != askReach+6 {
		t.Errorf("%d were asked, want 3 on management and all 6 on storage", f.asked)
	}
	f.works["storage"] = true
	look()
	f.works["storage"] = false
	if s := look()["storage"]; s.Asked != 6 || s.Reached != 0 {
		t.Errorf("storage is gone: %+v, want nobody of all 6", s)
	}
	f.works["storage"] = true
	for i := range 5 {
		f.dead[nova.HostName(fmt.Sprintf("cmp%d", i))] = true
	}
	if s := look()["storage"]; s.Reached == 0 {
		t.Errorf("one of six lives, and is not found: %+v", s)
	}
	if _, told := look()["tenant"]; told {
		t.Error("a network is told of on which the host has no address")
	}
}

// TestPeersOf gives each host the same few others each time, the far ones first.
func TestPeersOf(t *testing.T) {
	c := &Controller{cfg: &config.Controller{}, addresses: map[nova.HostName][]heartbeat.Address{}, racks: map[nova.HostName]string{}}
	for i := range 40 {
		name, rack := fmt.Sprintf("cmp%02d", i), fmt.Sprintf("rack%d", i/10)
		c.cfg.Hosts = append(c.cfg.Hosts, config.Host{Name: name, Domain: rack})
		c.racks[nova.HostName(name)] = rack
		c.addresses[nova.HostName(name)] = []heartbeat.Address{{Network: "management", Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})}}
	}
	asked := map[nova.HostName]int{}
	for _, h := range c.cfg.Hosts {
		self := nova.HostName(h.Name)
		peers := c.peersOf(self)
		if len(peers) != rosterPeers {
			t.Fatalf("%s has %d peers", self, len(peers))
		}
		again := c.peersOf(self)
		for i, p := range peers {
			asked[p.Host]++
			if p.Host == self || c.racks[p.Host] == h.Domain {
				t.Errorf("%s is told to ask %s of %s", self, p.Host, c.racks[p.Host])
			}
			if again[i].Host != p.Host {
				t.Errorf("%s is told to ask others the second time: the roster would be written each time", self)
			}
		}
	}
	if len(asked) < 35 {
		t.Errorf("only %d of 40 hosts are ever asked: the load is uneven", len(asked))
	}
	delete(c.addresses, "cmp01")
	if slices.ContainsFunc(c.peersOf("cmp20"), func(p rosterPeer) bool { return p.Host == "cmp01" }) {
		t.Error("a host without addresses is to be asked")
	}
}

// TestInvestigatorPeers takes one of each failure domain before a second one,
// and the host's own domain last.
func TestInvestigatorPeers(t *testing.T) {
	verdict := func(d detector.Domain, s detector.State, r detector.Reason) detector.Verdict {
		return detector.Verdict{State: s, Reason: r, View: detector.View{Domain: d}}
	}
	well := func(d detector.Domain) detector.Verdict {
		return verdict(d, detector.Healthy, detector.ReasonHeartbeat)
	}
	o := &observer{verdicts: map[nova.HostName]detector.Verdict{
		"self": well("rack1"), "near1": well("rack1"), "near2": well("rack1"), "far1": well("rack2"), "far2": well("rack2"),
		"ill": verdict("rack3", detector.Healthy, detector.ReasonNetworkUnconfirmed), "dead": verdict("rack4", detector.Dead, detector.ReasonSilent),
	}}
	v := &investigator{c: &Controller{observer: o}}
	for range 20 {
		got := v.peers("self", "rack1")
		domains := map[detector.Domain]int{}
		for _, h := range got {
			domains[o.verdicts[h].View.Domain]++
		}
		if len(got) != askPeers || domains["rack2"] != 2 && domains["rack2"] != 1 || domains["rack1"] == 0 || domains["rack3"]+domains["rack4"] > 0 {
			t.Fatalf("chosen %v", got)
		}
	}
	if got := v.peers("far1", "rack9"); len(got) != askPeers {
		t.Errorf("chosen %v of four", got)
	}
}
