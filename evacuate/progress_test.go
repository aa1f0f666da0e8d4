package evacuate

import (
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestProgress: counts, and the pace of what has ended; nobody's guess where nothing has.
func TestProgress(t *testing.T) {
	s := func(n float64) time.Time { return t0.Add(time.Duration(n * float64(time.Second))) }
	done := func(from, to float64) *Evacuation {
		return &Evacuation{State: EvacDone, Attempt: 1, Intent: s(from), Ended: s(to)}
	}
	in := func(n int, state EvacState, waits string) (all []*Evacuation) {
		for range n {
			all = append(all, &Evacuation{State: state, Waits: waits, Intent: t0})
		}
		return all
	}
	join := func(parts ...[]*Evacuation) (all []*Evacuation) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for name, c := range map[string]struct {
		all  []*Evacuation
		now  float64
		want string // "": nothing to show
	}{
		"nothing to move":        {in(2, EvacSkipped, ""), 1, ""},
		"nothing has ended":      {join(in(3, EvacFollowing, ""), in(2, EvacPlanned, "")), 1, "0 of 5 instances moved, 3 on their way"},
		"the first has ended":    {join([]*Evacuation{done(0, 4)}, in(3, EvacFollowing, ""), in(3, EvacPlanned, "")), 4, "1 of 7 instances moved, 3 on their way; about 8s more"},
		"a pace of 2 s":          {join([]*Evacuation{done(0, 4), done(0, 6), done(0, 8)}, in(3, EvacFollowing, ""), in(7, EvacPlanned, "")), 8, "3 of 13 instances moved, 3 on their way; about 20s more"},
		"some time has passed":   {join([]*Evacuation{done(0, 4), done(0, 6), done(0, 8)}, in(3, EvacFollowing, ""), in(7, EvacPlanned, "")), 13, "3 of 13 instances moved, 3 on their way; about 15s more"},
		"more than it should":    {join([]*Evacuation{done(0, 4), done(0, 6), done(0, 8)}, in(1, EvacFollowing, "")), 60, "3 of 4 instances moved, 1 on their way; about 1s more"},
		"some wait":              {join([]*Evacuation{done(0, 4)}, in(1, EvacFollowing, ""), in(2, EvacPlanned, "waits for room")), 4, "1 of 4 instances moved, 1 on their way, 2 wait; about 4s more, without those that wait"},
		"all that is left waits": {join([]*Evacuation{done(0, 4)}, in(2, EvacFailed, "")), 4, "1 of 3 instances moved, 2 wait"},
		"moved by somebody else": {join([]*Evacuation{{State: EvacDone, Ended: s(3)}}, in(1, EvacFollowing, "")), 4, "1 of 2 instances moved, 1 on their way"},
	} {
		r := &Recovery{Status: StatusOpen, Steps: map[Step]*StepRecord{StepList: {Phase: PhaseDone}}, Evacuations: c.all}
		got := ""
		if p := r.ProgressAt(s(c.now)); p != nil {
			got = p.String()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for _, r := range []*Recovery{{Status: StatusOpen, Evacuations: in(1, EvacPlanned, "")}, {Status: StatusRecovered, Steps: map[Step]*StepRecord{StepList: {Phase: PhaseDone}}, Evacuations: in(1, EvacDone, "")}} {
		if p := r.ProgressAt(t0); p != nil {
			t.Errorf("%s: %s", r.Status, p)
		}
	}
}

// TestBackend: who says where an instance's disks are; and one storage's limit holds back
// nobody else's.
func TestBackend(t *testing.T) {
	of := func(name, word string, hosts ...nova.HostName) nova.Aggregate {
		return nova.Aggregate{Name: name, Hosts: hosts, Metadata: map[string]string{keyBackend: word}}
	}
	for name, c := range map[string]struct {
		flavor     string
		aggregates []nova.Aggregate
		want       string
	}{
		"nobody":                {"", []nova.Aggregate{of("a", "ceph", "cmp9"), of("b", "", "cmp1")}, ""},
		"the aggregate":         {"", []nova.Aggregate{of("a", "ceph", "cmp1")}, "ceph"},
		"the first of several":  {"", []nova.Aggregate{of("a", "nfs", "cmp1"), of("b", "ceph", "cmp1")}, "ceph"},
		"the flavor, before it": {"ssd", []nova.Aggregate{of("a", "ceph", "cmp1")}, "ssd"},
	} {
		if got := Backend(nova.Server{FlavorExtra: map[string]string{keyBackend: c.flavor}}, "cmp1", c.aggregates); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	core := aiming()
	core.policy.PerBackend = 2
	r := &Recovery{ID: "r1", Host: "cmp1", Status: StatusOpen, Opened: t0.Add(-time.Hour)}
	core.state.Recoveries["r1"] = r
	obs := &Observation{At: t0, Began: t0, Source: map[nova.ServerID]nova.Server{}}
	add := func(n int, backend string, state EvacState, age time.Duration) {
		for range n {
			id := nova.ServerID(string(rune('a' + len(r.Evacuations))))
			r.Evacuations = append(r.Evacuations, &Evacuation{Server: id, Name: string(id), State: state, Backend: backend, Dest: "cmp2", Intent: t0.Add(-age)})
			obs.Source[id] = nova.Server{ID: id, Host: "cmp1"}
		}
	}
	add(1, "ceph", EvacFollowing, time.Second)
	add(1, "ceph", EvacFollowing, 20*time.Minute) // stuck: it holds back nobody
	add(3, "ceph", EvacPlanned, 0)
	add(2, "nfs", EvacPlanned, 0)
	add(2, "", EvacPlanned, 0)
	core.seen["r1"], core.senders = obs, []*Recovery{r}
	core.promiseAll()
	sent := map[string]int{}
	for _, e := range core.ready.Commit[0].Evacuations {
		if e.State == EvacIntent {
			sent[e.Backend]++
		}
		if e.Waits != "" {
			t.Errorf("%s waits for %s: it ends by itself", e.Name, e.Waits)
		}
	}
	if sent["ceph"] != 1 || sent["nfs"] != 2 || sent[""] != 2 {
		t.Errorf("sent by storage: %v", sent)
	}
}
