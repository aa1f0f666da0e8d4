package evacuate

import (
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestJoins: which aggregates a reserved host would join for a dead one, and where it
// could not serve it.
func TestJoins(t *testing.T) {
	in := func(id int, name, zone string, hosts ...nova.HostName) nova.Aggregate {
		return nova.Aggregate{ID: id, Name: name, Zone: zone, Hosts: hosts}
	}
	for name, c := range map[string]struct {
		off        bool // the policy does not join
		aggregates []nova.Aggregate
		zone       string // the reserved host's; the dead one's is az1
		servers    int    // on the reserved host
		unread     bool
		want       []int
		ok         bool
	}{
		"it does not join, same zone":     {off: true, aggregates: []nova.Aggregate{in(1, "gpu", "", "dead")}, zone: "az1", ok: true},
		"it does not join, another zone":  {off: true, zone: "nova"},
		"nothing to join":                 {zone: "az1", aggregates: []nova.Aggregate{in(1, "other", "", "cmp9")}, ok: true},
		"what it is not in":               {zone: "az1", aggregates: []nova.Aggregate{in(1, "gpu", "", "dead"), in(2, "ssd", "", "dead", "spare"), in(3, "hdd", "", "cmp9")}, want: []int{1}, ok: true},
		"into the zone":                   {zone: "nova", aggregates: []nova.Aggregate{in(1, "rack", "az1", "dead")}, want: []int{1}, ok: true},
		"into the zone, but it has one":   {zone: "az2", aggregates: []nova.Aggregate{in(1, "rack", "az1", "dead"), in(2, "other", "az2", "spare")}, want: []int{1}},
		"into the zone, but it is in use": {zone: "nova", servers: 1, aggregates: []nova.Aggregate{in(1, "rack", "az1", "dead")}, want: []int{1}},
		"in use, no zone changes":         {zone: "az1", servers: 1, aggregates: []nova.Aggregate{in(1, "gpu", "", "dead")}, want: []int{1}, ok: true},
		"another zone that none makes":    {zone: "az2"},
		"aggregates were not read":        {zone: "az1", unread: true},
	} {
		core := NewCore(DefaultPolicy())
		core.state, core.policy.JoinReserves = NewState(), !c.off
		core.world = World{Now: t0, Servers: map[nova.HostName][]nova.Server{"spare": make([]nova.Server, c.servers)},
			Nova: NovaSight{Aggregates: c.aggregates, AggregatesAt: t0, Services: map[nova.HostName]nova.Service{"dead": {Zone: "az1"}, "spare": {Zone: c.zone}}}}
		if c.unread {
			core.world.Nova.AggregatesAt = time.Time{}
		}
		joins, ok := core.joins("spare", &Recovery{Host: "dead"})
		var got []int
		for _, j := range joins {
			got = append(got, j.ID)
		}
		if ok != c.ok || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v %t, want %v %t", name, joins, ok, c.want, c.ok)
		}
	}
}
