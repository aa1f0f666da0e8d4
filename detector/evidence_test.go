package detector

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// crowd is a table in which three controllers hear ten hosts of five racks at
// ten seconds, each with a view of the ring and of two networks that are well.
func crowd() *Table {
	t := NewTable(DefaultPolicy())
	for i := range 10 {
		t.SetDomain(nova.HostName(fmt.Sprintf("cmp%d", i+1)), Domain(fmt.Sprintf("rack%d", i/2+1)))
	}
	beats(t, 10, func(int, *Heartbeat) bool { return true })
	return t
}

// beats lets every controller hear each host at s, unless change says no.
func beats(t *Table, s float64, change func(i int, hb *Heartbeat) bool) {
	ring := RingView{Alive: 13, Known: 13}
	for _, c := range []Observer{"ctl1", "ctl2", "ctl3"} {
		t.Alive(c, ring, at(s))
		for i := range 10 {
			hb := Heartbeat{Host: nova.HostName(fmt.Sprintf("cmp%d", i+1)), Boot: "b1", Ring: ring,
				Networks: []Reach{{Network: NetworkManagement, Asked: 3, Reached: 3}, {Network: NetworkStorage, Asked: 3, Reached: 3}}}
			if change(i+1, &hb) {
				t.Heartbeat(c, hb, at(s))
			}
		}
	}
}

// asks notes one probe on one network.
func asks(t *Table, o Observer, network string, a Answer, s float64) {
	t.Probe(Probe{Observer: o, Host: "cmp1", Network: network, Kind: ProbeICMP, Answer: a, Began: at(s)})
}

func judge(t *Table, s float64) Verdict {
	return Judge(t.View("cmp1", Facts{Voters: 3, Boot: "b1", Known: 13}, at(s)), DefaultPolicy())
}

// TestHangWithoutTheRing plays a hang whose ring is slow: the agents' own probes
// are votes, and the host is Dead when the hold-down ends.
func TestHangWithoutTheRing(t *testing.T) {
	tab := crowd()
	for _, o := range []Observer{"ctl1", "cmp3"} {
		asks(tab, o, NetworkManagement, Answered, 5)
	}
	all := func(s float64) { beats(tab, s, func(i int, _ *Heartbeat) bool { return i != 1 }) }
	for s := 11.0; s <= 13; s++ {
		all(s)
	}
	for _, o := range []Observer{"ctl1", "ctl2", "ctl3", "cmp3", "cmp5"} {
		asks(tab, o, NetworkManagement, Silent, 13.2)
	}
	all(14.4)
	if got := judge(tab, 14.5); got.Reason != ReasonHoldDown {
		t.Fatalf("after 4.5 s: %s (%s: %s)", got.State, got.Reason, got.Detail)
	}
	all(15)
	if got := judge(tab, 15.1); got.State != Dead {
		t.Fatalf("after 5.1 s: %s (%s: %s)", got.State, got.Reason, got.Detail)
	}
}

// TestIsolatedFromTable plays the trap of a monitor that takes its own loss for
// everybody else's: one host loses its storage network, and is told from the
// others that it calls silent.
func TestIsolatedFromTable(t *testing.T) {
	tab := crowd()
	asks(tab, "cmp3", NetworkStorage, Answered, 4)
	for s := 0.0; s < 10; s++ { // it has been heard for a while
		beats(tab, s, func(int, *Heartbeat) bool { return true })
	}
	lonely := func(i int, hb *Heartbeat) bool {
		if i == 1 {
			hb.Networks[1].Reached = 0
		}
		return true
	}
	beats(tab, 11, lonely)
	if got := judge(tab, 11); got.Reason != ReasonNetworkUnconfirmed {
		t.Fatalf("its own word: %s (%s: %s)", got.State, got.Reason, got.Detail)
	}
	if probe, power := judge(tab, 11).Wanted(); !probe || power {
		t.Errorf("wanted: probe %t, power %t; want its word confirmed and its BMC left alone", probe, power)
	}
	asks(tab, "cmp3", NetworkStorage, Silent, 11.5)
	asks(tab, "cmp5", NetworkStorage, Silent, 11.5)
	beats(tab, 12, lonely)
	if n := tab.View("cmp1", Facts{}, at(12)).Networks[1]; n.AloneFor != time.Second {
		t.Errorf("alone for %s since 11 s", n.AloneFor)
	}
	got := judge(tab, 12)
	if got.State != Isolated || got.Reason != ReasonStorageGone || got.Means != MeansReport || got.Condemned() {
		t.Fatalf("confirmed: %s (%s, %s: %s)", got.State, got.Reason, got.Means, got.Detail)
	}
	// What the lonely one says of another's storage is worth nothing.
	tab.Probe(Probe{Observer: "cmp1", Host: "cmp7", Network: NetworkStorage, Kind: ProbeICMP, Answer: Silent, Began: at(11.9)})
	v := tab.View("cmp7", Facts{Voters: 3, Known: 13}, at(12))
	if p := v.Probes[0]; p.Ill == "" {
		t.Errorf("an observer that reaches nobody there is believed: %+v", p)
	}
	// When nobody reaches anybody, it is nobody's fault.
	beats(tab, 13, func(_ int, hb *Heartbeat) bool { hb.Networks[1].Reached = 0; return true })
	if got := judge(tab, 13); got.State != Healthy {
		t.Errorf("all isolated: %s (%s: %s)", got.State, got.Reason, got.Detail)
	}
}

// TestMatrixMeans is what a matrix makes of networks that are lost.
func TestMatrixMeans(t *testing.T) {
	down := func(v *View, networks ...string) {
		v.Probes = nil
		for i := range v.Networks {
			if slices.Contains(networks, v.Networks[i].Network) {
				v.Networks[i].Reached, v.Networks[i].AloneFor = 0, time.Minute
				v.Probes = append(v.Probes, peer("cmp2", "rack2", v.Networks[i].Network, Silent), peer("cmp3", "rack3", v.Networks[i].Network, Silent))
			}
		}
	}
	fenceAll := Matrix{}
	for k := range DefaultMatrix() {
		fenceAll[k] = MeansFence
	}
	tests := []struct {
		name   string
		lost   []string
		matrix Matrix
		state  State
		means  Meaning
	}{
		{"storage by default", []string{NetworkStorage}, nil, Isolated, MeansReport},
		{"storage, fence", []string{NetworkStorage}, Matrix{"storage": MeansFence}, Isolated, MeansFence},
		{"storage, repair", []string{NetworkStorage}, Matrix{"storage": MeansRepair}, Isolated, MeansRepair},
		{"storage, ignore", []string{NetworkStorage}, Matrix{"storage": MeansIgnore}, Healthy, MeansIgnore},
		{"tenant, storage is fenced", []string{NetworkTenant}, Matrix{"storage": MeansFence}, Isolated, MeansReport},
		{"storage and tenant", []string{NetworkStorage, NetworkTenant}, Matrix{"storage+tenant": MeansFence}, Isolated, MeansFence},
		{"all, and heard: not all are gone", []string{NetworkManagement, NetworkStorage, NetworkTenant}, nil, Isolated, MeansReport},
		{"management, whatever a matrix says", []string{NetworkManagement}, fenceAll, Isolated, MeansReport},
		{"management and storage, heard: as storage", []string{NetworkManagement, NetworkStorage}, Matrix{"storage": MeansFence}, Isolated, MeansFence},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, p := well(), DefaultPolicy()
			down(&v, tt.lost...)
			p.Matrix = tt.matrix
			got := Judge(v, p)
			if got.State != tt.state || got.Means != tt.means {
				t.Errorf("%s, %s; want %s, %s (%s)", got.State, got.Means, tt.state, tt.means, got.Detail)
			}
			if want := tt.state == Isolated && tt.means == MeansFence; got.Condemned() != want {
				t.Errorf("condemned: %t", got.Condemned())
			}
		})
	}
	p := DefaultPolicy()
	p.Matrix = Matrix{"storage": MeansFence}
	brief := well()
	down(&brief, NetworkStorage)
	brief.Networks[1].AloneFor = 59 * time.Second
	if got := Judge(brief, p); got.State != Isolated || got.Condemned() {
		t.Errorf("lost for less than a minute: %s, condemned %t", got.State, got.Condemned())
	}
	p.Matrix = Matrix{LostAll: MeansReport}
	if got := Judge(hung(), p); got.State != Dead || got.Condemned() {
		t.Errorf("silent to all, report: %s, condemned %t", got.State, got.Condemned())
	}
	if got := Judge(cut(), p); got.State != Dead || !got.Condemned() {
		t.Errorf("its BMC reads off: %s, condemned %t", got.State, got.Condemned())
	}
	for _, a := range []Answer{Answered} { // a host that answers is never condemned
		v := hung()
		v.Probes = append(v.Probes, agents(a)...)
		p.Matrix = fenceAll
		if got := Judge(v, p); got.Condemned() {
			t.Errorf("it answers, and is condemned as %s", got.State)
		}
	}
}

// TestDeafControllers hear few of the hosts that others hear.
func TestDeafControllers(t *testing.T) {
	tab := crowd()
	for i := range 10 {
		if i != 0 {
			tab.Heartbeat("ctl1", Heartbeat{Host: nova.HostName(fmt.Sprintf("cmp%d", i+1)), Boot: "b1"}, at(16))
		}
		if i > 0 && i < 6 {
			tab.Heartbeat("ctl2", Heartbeat{Host: nova.HostName(fmt.Sprintf("cmp%d", i+1)), Boot: "b1"}, at(16))
		}
	}
	for _, c := range []Observer{"ctl1", "ctl2", "ctl3"} {
		tab.Alive(c, RingView{}, at(16))
	}
	want := map[Observer]bool{"ctl1": false, "ctl2": false, "ctl3": true}
	for _, h := range tab.View("cmp1", Facts{Voters: 3}, at(16)).Controllers {
		if h.Deaf != want[h.Controller] {
			t.Errorf("%s is deaf: %t, want %t", h.Controller, h.Deaf, want[h.Controller])
		}
	}
	one := NewTable(DefaultPolicy())
	one.Heartbeat("ctl1", beat("cmp1", "b1"), at(0))
	one.Heartbeat("ctl1", beat("cmp2", "b1"), at(5))
	one.Alive("ctl2", RingView{}, at(5))
	for _, h := range one.View("cmp1", Facts{Voters: 3}, at(5)).Controllers {
		if h.Deaf {
			t.Errorf("%s is called deaf by one other host", h.Controller)
		}
	}
}

// TestOpinions are what a ring member's view says of one host.
func TestOpinions(t *testing.T) {
	sixteen := []nova.HostName{}
	for i := range MaxDead {
		sixteen = append(sixteen, nova.HostName(fmt.Sprintf("x%d", i)))
	}
	tests := []struct {
		name         string
		ring         RingView
		dead, unsaid bool
	}{
		{"alive", RingView{}, false, false},
		{"named", RingView{Dead: []nova.HostName{"cmp1"}, DeadCount: 1}, true, false},
		{"others named", RingView{Dead: []nova.HostName{"cmp9"}, DeadCount: 1}, false, false},
		{"more dead than named", RingView{Dead: []nova.HostName{"cmp9"}, DeadCount: 40}, false, true},
		{"named among more", RingView{Dead: []nova.HostName{"cmp1"}, DeadCount: 40}, true, false},
		{"a full list of an older member", RingView{Dead: sixteen}, false, true},
		{"a full list that is all", RingView{Dead: sixteen, DeadCount: MaxDead}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab := NewTable(DefaultPolicy())
			tt.ring.Alive, tt.ring.Known = 5, 5
			tab.Heartbeat("ctl1", beat("cmp1", "b1"), at(0))
			tab.Heartbeat("ctl1", Heartbeat{Host: "cmp2", Boot: "b1", Ring: tt.ring}, at(9))
			votes := view(tab, 10).Votes
			if v := votes[0]; v.Dead != tt.dead || v.Unsaid != tt.unsaid {
				t.Errorf("%+v, want dead %t, unsaid %t", v, tt.dead, tt.unsaid)
			}
		})
	}
}

// TestLeaversAreNotMissed lets most of a ring announce their stop: who is left is
// not ill for seeing few.
func TestLeaversAreNotMissed(t *testing.T) {
	tab := NewTable(DefaultPolicy())
	tab.Heartbeat("ctl1", beat("cmp1", "b1"), at(0))
	tab.Heartbeat("ctl1", Heartbeat{Host: "cmp2", Boot: "b1", Ring: RingView{Alive: 3, Known: 3, Dead: []nova.HostName{"cmp1"}, DeadCount: 1}}, at(9))
	ill := func() string {
		v := tab.View("cmp1", Facts{Voters: 1, Known: 9}, at(10))
		i := slices.IndexFunc(v.Votes, func(v Vote) bool { return v.Observer == "cmp2" })
		return v.Votes[i].Ill
	}
	if ill() == "" {
		t.Fatal("it sees 3 of 9 and votes")
	}
	for i := range 5 {
		tab.Heartbeat("ctl1", Heartbeat{Host: nova.HostName(fmt.Sprintf("gone%d", i)), Boot: "b1", Leaving: true}, at(8))
	}
	if why := ill(); why != "" {
		t.Errorf("it sees 3 of the 4 that are left, and does not vote: %s", why)
	}
}

// TestUnfitObservers' silence counts for nothing.
func TestUnfitObservers(t *testing.T) {
	tests := []struct {
		name string
		hb   *Heartbeat
		fit  bool
	}{
		{"well", &Heartbeat{Ring: RingView{Alive: 9, Known: 9}}, true},
		{"never heard", nil, false},
		{"muted", &Heartbeat{Ring: RingView{Alive: 9, Known: 9, Muted: true}}, false},
		{"reaches nobody there", &Heartbeat{Ring: RingView{Alive: 9, Known: 9}, Networks: []Reach{{Network: NetworkStorage, Asked: 3}}}, false},
		{"reaches nobody elsewhere", &Heartbeat{Ring: RingView{Alive: 9, Known: 9}, Networks: []Reach{{Network: NetworkTenant, Asked: 3}}}, true},
		{"reached nobody long ago", &Heartbeat{Ring: RingView{Alive: 9, Known: 9}, Networks: []Reach{{Network: NetworkStorage, Asked: 3, Age: time.Minute}}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab := NewTable(DefaultPolicy())
			if tt.hb != nil {
				tt.hb.Host, tt.hb.Boot = "cmp2", "b1"
				tab.Heartbeat("ctl1", *tt.hb, at(9))
			}
			asks(tab, "cmp2", NetworkStorage, Silent, 9)
			if p := view(tab, 10).Probes[0]; (p.Ill == "") != tt.fit {
				t.Errorf("ill: %q", p.Ill)
			}
		})
	}
}
