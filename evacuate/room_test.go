package evacuate

import (
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

func TestRoom(t *testing.T) {
	type flight struct {
		state EvacState
		dest  nova.HostName
		age   time.Duration
	}
	under := func(n int, f flight) (all []flight) {
		for range n {
			all = append(all, f)
		}
		return all
	}
	for _, c := range []struct {
		name     string
		inFlight int
		perDest  int
		flights  []flight
		promised int // in this tick
		want     int
	}{
		{"nothing under way", 10, 0, nil, 0, 10},
		{"no limit by destination", 10, 0, under(7, flight{EvacFollowing, "cmp2", 0}), 0, 3},
		{"ended ones take no room", 10, 2, append(under(5, flight{EvacDone, "cmp2", 0}), under(5, flight{EvacFailed, "", 0})...), 0, 2},
		{"no more than the limit at first", 10, 3, nil, 0, 3},
		{"those without a destination count", 10, 3, under(2, flight{EvacIntent, "", time.Second}), 0, 1},
		{"promised in this tick", 10, 3, nil, 2, 1},
		{"spread", 10, 3, append(under(2, flight{EvacFollowing, "cmp2", 0}), under(2, flight{EvacFollowing, "cmp3", 0})...), 0, 3},
		{"one destination is full", 10, 3, under(3, flight{EvacFollowing, "cmp2", 0}), 0, 0},
		{"full, but down", 10, 3, under(3, flight{EvacFollowing, "cmp8", 0}), 0, 3},
		{"full, but disabled", 10, 3, under(3, flight{EvacFollowing, "cmp9", 0}), 0, 3},
		{"nobody claims them", 10, 3, under(3, flight{EvacFollowing, "", 2 * time.Minute}), 0, 3},
		{"in flight bounds the whole", 4, 3, under(3, flight{EvacFollowing, "", 2 * time.Minute}), 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := DefaultPolicy()
			p.InFlight, p.PerDestination = c.inFlight, c.perDest
			core, r := NewCore(p), &Recovery{ID: "r1", Host: "cmp1", Status: StatusOpen}
			for _, f := range c.flights {
				r.Evacuations = append(r.Evacuations, &Evacuation{State: f.state, Dest: f.dest, Intent: t0.Add(-f.age)})
			}
			core.state = NewState()
			core.state.Recoveries["r1"] = r
			core.world = World{Now: t0, Nova: NovaSight{Services: map[nova.HostName]nova.Service{
				"cmp2": {State: nova.StateUp}, "cmp3": {State: nova.StateUp}, "cmp8": {State: nova.StateDown}, "cmp9": {State: nova.StateUp, Disabled: true}}}}
			for range c.promised {
				core.commit(Entry{Kind: KindEvacuations, Recovery: "r1", Evacuations: []*Evacuation{{State: EvacIntent, Intent: t0}}})
			}
			if got := core.room(); got != c.want {
				t.Errorf("room for %d, want %d", got, c.want)
			}
		})
	}
}
