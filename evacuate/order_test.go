package evacuate

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lifeboat-ha/lifeboat/nova"
)

func TestPriority(t *testing.T) {
	word := func(w string) map[string]string { return map[string]string{keyPriority: w} }
	owners, projects := Order{Owners: true}, Order{Owners: true, Projects: map[string]int{"p1": 50}}
	for name, row := range map[string]struct {
		order  Order
		server nova.Server
		want   int
	}{
		"nobody says anything":          {owners, nova.Server{}, 0},
		"the owner":                     {owners, nova.Server{Metadata: word("high")}, 100},
		"a number":                      {owners, nova.Server{Metadata: word(" -250 ")}, -250},
		"owners are not heard":          {Order{}, nova.Server{Metadata: word("high"), FlavorExtra: word("low")}, -100},
		"the flavor":                    {owners, nova.Server{FlavorExtra: word("7")}, 7},
		"the owner before the flavor":   {owners, nova.Server{Metadata: word("normal"), FlavorExtra: word("high")}, 0},
		"the project":                   {projects, nova.Server{Project: "p1"}, 50},
		"the flavor before the project": {projects, nova.Server{Project: "p1", FlavorExtra: word("low")}, -100},
		"a word that says nothing":      {projects, nova.Server{Project: "p1", Metadata: word("urgent")}, 50},
		"out of range":                  {owners, nova.Server{Metadata: word("1001")}, 0},
	} {
		if got := row.order.Priority(row.server); got != row.want {
			t.Errorf("%s: %d, want %d", name, got, row.want)
		}
	}
}

func TestCircular(t *testing.T) {
	vm := func(project, group, after string) *Evacuation {
		return &Evacuation{Project: project, Group: group, After: after}
	}
	for name, row := range map[string]struct {
		all  []*Evacuation
		want string
	}{
		"a chain":               {[]*Evacuation{vm("p", "web", "app"), vm("p", "app", "db"), vm("p", "db", "")}, ""},
		"itself":                {[]*Evacuation{vm("p", "a", "a")}, "p/a"},
		"two":                   {[]*Evacuation{vm("p", "a", "b"), vm("p", "b", "a"), vm("p", "c", "a")}, "p/a p/b"},
		"three":                 {[]*Evacuation{vm("p", "a", "b"), vm("p", "b", "c"), vm("p", "c", "a")}, "p/a p/b p/c"},
		"of two projects":       {[]*Evacuation{vm("p", "a", "b"), vm("q", "b", "a")}, ""},
		"by one member of many": {[]*Evacuation{vm("p", "a", ""), vm("p", "a", "b"), vm("p", "b", "a")}, "p/a p/b"},
		"no group of its own":   {[]*Evacuation{vm("p", "", "a"), vm("p", "a", "")}, ""},
	} {
		if got := strings.Join(slices.Sorted(maps.Keys(circular(row.all))), " "); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

// TestOneOrder: over random dead hosts and instances whoever is promised is never
// behind one that is due, may go somewhere, and comes first; no more are in flight than may be.
func TestOneOrder(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		c := aiming()
		c.policy.InFlight = 1 + rng.IntN(6)
		for i := range 1 + rng.IntN(3) {
			r := &Recovery{ID: RecoveryID(fmt.Sprintf("r%d", i+1)), Host: nova.HostName(fmt.Sprintf("dead%d", i)), Status: StatusOpen, Opened: t0}
			obs := &Observation{At: t0, Began: t0, Source: map[nova.ServerID]nova.Server{}}
			for j := range rng.IntN(6) {
				id := nova.ServerID(fmt.Sprintf("vm%d-%d", i, j))
				e := &Evacuation{Server: id, Name: string(id), State: EvacPlanned, Priority: rng.IntN(3) - 1, Size: nova.Size{VCPUs: 1, RAMMiB: 512 << rng.IntN(5)}}
				if rng.IntN(4) == 0 {
					e.Apart = []string{"g"}
				}
				r.Evacuations = append(r.Evacuations, e)
				obs.Source[id] = nova.Server{ID: id, Host: r.Host}
			}
			c.state.Recoveries[r.ID], c.seen[r.ID], c.senders = r, obs, append(c.senders, r)
		}
		c.promiseAll()
		sent, waits := map[nova.ServerID]*Evacuation{}, map[nova.ServerID]bool{}
		together := 0
		for _, entry := range c.ready.Commit {
			for _, e := range entry.Evacuations {
				if e.State != EvacIntent {
					waits[e.Server] = true
					continue
				}
				sent[e.Server] = e
				together += len(e.Apart)
			}
		}
		if len(sent) > c.policy.InFlight || len(sent) != len(c.ready.Actions) {
			t.Fatalf("seed %d: %d promised, %d sent, %d may be", seed, len(sent), len(c.ready.Actions), c.policy.InFlight)
		}
		if together > 1 {
			t.Fatalf("seed %d: %d members of one anti-affinity group at once", seed, together)
		}
		for _, r := range c.senders {
			for _, e := range r.Evacuations {
				if _, yes := sent[e.Server]; yes || waits[e.Server] || len(e.Apart) > 0 || e.Size.RAMMiB > 4096 {
					continue
				}
				for _, other := range sent {
					if before(e, other) < 0 && len(sent) == c.policy.InFlight {
						t.Fatalf("seed %d: %s (%d, %d MiB) was passed by %s (%d, %d MiB)", seed, e.Name, e.Priority, e.Size.RAMMiB, other.Name, other.Priority, other.Size.RAMMiB)
					}
				}
			}
		}
	}
}
