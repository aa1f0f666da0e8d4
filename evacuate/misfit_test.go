package evacuate

import (
	"slices"
	"testing"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestLearn: what a failed attempt says of the next one.
func TestLearn(t *testing.T) {
	type hosts = []nova.HostName
	for name, tt := range map[string]struct {
		was       Evacuation
		refused   bool
		avoid     hosts
		free      bool
		elsewhere bool
	}{
		"failed where it was named":                {Evacuation{To: nova.Target{Host: "cmp2"}, Dest: "cmp2"}, false, hosts{"cmp2"}, false, false},
		"its name was refused":                     {Evacuation{To: nova.Target{Host: "cmp2"}}, true, nil, true, false},
		"failed where the scheduler sent it":       {Evacuation{Dest: "cmp2"}, false, hosts{"cmp2"}, false, false},
		"and again":                                {Evacuation{Dest: "cmp2", Avoid: hosts{"cmp3", "cmp2"}}, false, hosts{"cmp2"}, false, true},
		"no host was found":                        {Evacuation{}, true, nil, false, false},
		"another was named, and refused":           {Evacuation{To: nova.Target{Host: "cmp3"}, Avoid: hosts{"cmp2"}, Elsewhere: true}, true, hosts{"cmp2", "cmp3"}, false, true},
		"forced, and refused":                      {Evacuation{To: nova.Target{Host: "cmp3", Force: true}}, true, hosts{"cmp3"}, false, false},
		"failed again where it was named by force": {Evacuation{To: nova.Target{Host: "cmp3", Force: true}, Avoid: hosts{"cmp3"}}, false, hosts{"cmp3"}, false, false},
	} {
		n := tt.was
		aiming().learn(&n, tt.refused)
		if !slices.Equal(n.Avoid, tt.avoid) || n.Free != tt.free || n.Elsewhere != tt.elsewhere {
			t.Errorf("%s: avoids %v, free %t, elsewhere %t", name, n.Avoid, n.Free, n.Elsewhere)
		}
	}
}

// TestCircleIsTold: groups that wait for each other are moved, and the report says so.
func TestCircleIsTold(t *testing.T) {
	c := newCloud(t, 3)
	for id, words := range map[nova.ServerID]map[string]string{"vm1": {keyGroup: "a", keyAfter: "b"}, "vm2": {keyGroup: "b", keyAfter: "a"}} {
		s := c.addServer(id, "cmp1", nova.VMActive, c.start)
		s.Project, s.Metadata = "p1", words
	}
	c.run(pulse)
	c.host("cmp1").off()
	c.run(30 * pulse * 4)
	for _, x := range c.recovery("cmp1").Report().Instances {
		if x.Outcome != EvacDone || x.Reason == "" {
			t.Errorf("%+v", x)
		}
	}
}
