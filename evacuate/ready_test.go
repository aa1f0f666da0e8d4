package evacuate

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

func TestParseReady(t *testing.T) {
	for word, want := range map[string]struct {
		r   Readiness
		bad bool
	}{
		"": {}, "active": {}, " Active ": {}, "30s": {r: Readiness{After: 30 * time.Second}}, "2m": {r: Readiness{After: 2 * time.Minute}}, "9h": {r: Readiness{After: readyMost}},
		"port:5432": {r: Readiness{Port: 5432}}, "port:5432,10s": {r: Readiness{Port: 5432, After: 10 * time.Second}}, "10s, port:22": {r: Readiness{Port: 22, After: 10 * time.Second}},
		"active,port:1": {r: Readiness{Port: 1}}, "agent": {r: Readiness{Agent: true}}, "Agent, 5s": {r: Readiness{Agent: true, After: 5 * time.Second}}, "port:22,agent": {r: Readiness{Port: 22, Agent: true}},
		"-5s": {bad: true}, "soon": {bad: true}, "port:0": {bad: true}, "port:70000": {bad: true}, "port:ssh": {bad: true}, "port:": {bad: true}, "agents": {bad: true}, "agent,soon": {bad: true}, "port:22,soon": {bad: true},
	} {
		r, err := ParseReady(word)
		if r != want.r || (err != nil) != want.bad {
			t.Errorf("%q: %+v, %v", word, r, err)
		}
	}
}

// TestReadyAgent: a member counts as ready once its guest agent is seen on its host, and the
// time after that; what is not told is waited for.
func TestReadyAgent(t *testing.T) {
	told := func(hosts ...nova.HostName) *detector.GuestSight {
		g := &detector.GuestSight{Told: map[nova.HostName]bool{"cmp2": true, "cmp3": true}, Agents: map[nova.ServerID][]nova.HostName{"db": hosts}}
		return g
	}
	c := NewCore(DefaultPolicy())
	e := &Evacuation{Server: "db", Name: "db", Dest: "cmp2", Attempt: 1, Agent: true, Ready: 10 * time.Second}
	at := func(s int, g *detector.GuestSight) string {
		c.world = World{Now: t0.Add(time.Duration(s) * time.Second), Guests: g}
		return c.unready(e)
	}
	for _, x := range []struct {
		s    int
		g    *detector.GuestSight
		want string
	}{
		{0, nil, "the libvirt of cmp2 does not tell of the guest agent of db"},
		{20, told(), "the guest agent of db is not there yet"},
		{30, told("cmp3"), "the guest agent of db is not there yet"}, // that of before
		{40, told("cmp2"), "db is given 10s"},
		{45, nil, "db is given 10s"}, // libvirt is restarted meanwhile
		{50, told(), ""},
	} {
		if got := at(x.s, x.g); got != x.want {
			t.Errorf("after %d s: %q, want %q", x.s, got, x.want)
		}
	}
	e.VMState, e.Attempt, e.Ready = nova.VMStopped, 2, 0
	if got := at(60, told()); got != "" {
		t.Errorf("a stopped one is waited for: %q", got)
	}
}

// TestRemarks: each word that has no effect is named with its server and what would have.
func TestRemarks(t *testing.T) {
	all := Policy{Order: Order{Owners: true, Ports: true}}
	for name, c := range map[string]struct {
		policy   Policy
		metadata map[string]string
		flavor   map[string]string
		want     string // "": nothing
	}{
		"nothing said":         {all, nil, nil, ""},
		"all is well":          {all, map[string]string{keyPriority: "high", keyGroup: "db", keyAfter: "web", keyReady: "port:1,5s", keyReimage: "true"}, map[string]string{keyPriority: "-3"}, ""},
		"a priority":           {all, map[string]string{keyPriority: "urgent"}, nil, `"urgent" is not understood`},
		"of a flavor":          {all, nil, map[string]string{keyPriority: "urgent"}, `"urgent" of its flavor`},
		"a readiness":          {all, map[string]string{keyGroup: "db", keyReady: "soon"}, nil, "counts as active"},
		"a guest agent":        {all, map[string]string{keyGroup: "db", keyReady: "agent,10s"}, nil, ""},
		"without a group":      {all, map[string]string{keyReady: "30s"}, nil, "without " + keyGroup},
		"ports are not asked":  {Policy{Order: Order{Owners: true}}, map[string]string{keyGroup: "db", keyReady: "port:1"}, nil, "policy.order.ports is off"},
		"its own group":        {all, map[string]string{keyGroup: "db", keyAfter: "db"}, nil, "its own group db"},
		"owners are not heard": {Policy{}, map[string]string{keyGroup: "db"}, nil, "policy.order.owners is off"},
		"a re-image":           {all, map[string]string{keyReimage: "maybe"}, nil, "use true or false"},
	} {
		got := Remarks([]nova.Server{{ID: "s1", Name: "vm", Metadata: c.metadata, FlavorExtra: c.flavor}}, c.policy)
		switch {
		case c.want == "" && len(got) == 0:
		case c.want == "" || len(got) != 1 || !strings.HasPrefix(got[0], "vm (s1): ") || !strings.Contains(got[0], c.want):
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
