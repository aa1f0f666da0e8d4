package vip

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestWedged: whose agent is taken for one that hangs, looked at each 5 s for a minute.
func TestWedged(t *testing.T) {
	base := func() WedgeView {
		v := WedgeView{Calm: true, Hosts: map[nova.HostName]detector.Domain{}}
		for i := range 5 {
			h := nova.HostName(fmt.Sprintf("host%d", i+1))
			v.Agents = append(v.Agents, AgentSight{Host: h, Binary: "nova-compute", Down: i == 0})
			v.Hosts[h] = "rack1"
			v.Matrix.Hosts = append(v.Matrix.Hosts, HostPath{Host: h, Fresh: true})
		}
		return v
	}
	for name, c := range map[string]struct {
		change func(*WedgeView)
		want   bool
	}{
		"its host lives and reaches all":     {func(*WedgeView) {}, true},
		"its host is not heard":              {func(v *WedgeView) { delete(v.Hosts, "host1") }, false},
		"its host does not reach all":        {func(v *WedgeView) { v.Matrix.Hosts[0].Fails = []string{"nova"} }, false},
		"its host goes another way":          {func(v *WedgeView) { v.Matrix.Hosts[0].Detours = 1 }, false},
		"its host has connections that hang": {func(v *WedgeView) { v.Matrix.Hosts[0].Hanging = 2 }, false},
		"its host's row is old":              {func(v *WedgeView) { v.Matrix.Hosts[0].Fresh = false }, false},
		"its host tells no row":              {func(v *WedgeView) { v.Matrix.Hosts = v.Matrix.Hosts[1:] }, false},
		"somebody has disabled it":           {func(v *WedgeView) { v.Agents[0].Kept = true }, false},
		"the cloud is ill, or frozen":        {func(v *WedgeView) { v.Calm = false }, false},
		"half of all are down":               {func(v *WedgeView) { v.Agents[1].Down, v.Agents[2].Down = true, true }, false},
		"those that somebody disabled are none": {func(v *WedgeView) {
			v.Agents[1].Down, v.Agents[1].Kept, v.Agents[2].Down, v.Agents[2].Kept = true, true, true, true
		}, true},
		"it is up": {func(v *WedgeView) { v.Agents[0].Down = false }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, v, got := NewWedges(), base(), []Wedge(nil)
			c.change(&v)
			for at := time.Duration(0); at <= time.Minute; at += 5 * time.Second {
				v.Now = begin.Add(at)
				got = w.Look(v)
				if at < wedgedFor && len(got) > 0 {
					t.Fatalf("after %s: %v", at, got)
				}
			}
			want := []Wedge(nil)
			if c.want {
				want = []Wedge{{"host1", "rack1", "nova-compute", time.Minute}}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
	// Whatever interrupts it begins it anew.
	w, v := NewWedges(), base()
	for i := range 12 {
		v.Now, v.Calm = begin.Add(time.Duration(i)*5*time.Second), i != 4
		if got := w.Look(v); (len(got) > 0) != (i >= 11) {
			t.Errorf("look %d: %v", i, got)
		}
	}
}
