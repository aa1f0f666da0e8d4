package vip

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// AgentSight is one OpenStack agent of a host, as its service tells: nova-compute by
// Nova, others by Neutron.
type AgentSight struct {
	Host   nova.HostName
	Binary string
	Down   bool
	// Kept says that somebody wants it as it is: disabled, or forced down.
	Kept bool
}

// WedgeView is what says that an agent hangs.
type WedgeView struct {
	Now time.Time
	// Calm says that the cloud is well, and that nobody has frozen it.
	Calm   bool
	Agents []AgentSight
	// Hosts are those that are heard, and are neither suspect nor worse.
	Hosts  map[nova.HostName]detector.Domain
	Matrix Matrix
}

// Wedge is one agent that hangs: its host lives and reaches all, nothing of its
// connections is left to be ended, and it does not report.
type Wedge struct {
	Host   nova.HostName
	Domain detector.Domain
	Binary string
	For    time.Duration
}

// Text says why.
func (w Wedge) Text() string {
	return fmt.Sprintf("it is down, though its host is heard and has reached all for %s", round(w.For))
}

// wedgedFor is for how long all of that must hold. A service is called down after a
// minute without a report (service_down_time), so this comes after it.
const wedgedFor = 30 * time.Second

// Wedges remembers since when agents hang. It is not safe for concurrent use.
type Wedges struct{ since map[wedgeKey]time.Time }

type wedgeKey struct {
	host   nova.HostName
	binary string
}

// NewWedges gives an empty memory.
func NewWedges() *Wedges { return &Wedges{since: map[wedgeKey]time.Time{}} }

// Look gives the agents that hang, the longest first. Where half of all agents of one
// name are down it is not they.
func (w *Wedges) Look(v WedgeView) (all []Wedge) {
	total, down := map[string]int{}, map[string]int{}
	for _, a := range v.Agents {
		if total[a.Binary]++; a.Down && !a.Kept {
			down[a.Binary]++
		}
	}
	well := map[nova.HostName]bool{}
	for _, p := range v.Matrix.Hosts {
		well[p.Host] = p.Fresh && len(p.Fails) == 0 && p.Hanging == 0 && p.Detours == 0
	}
	hangs := map[wedgeKey]time.Time{}
	for _, a := range v.Agents {
		domain, heard := v.Hosts[a.Host]
		if !v.Calm || !a.Down || a.Kept || !heard || !well[a.Host] || 2*down[a.Binary] >= total[a.Binary] {
			continue
		}
		key := wedgeKey{a.Host, a.Binary}
		hangs[key] = v.Now
		if since, known := w.since[key]; known {
			hangs[key] = since
		}
		if long := v.Now.Sub(hangs[key]); long >= wedgedFor {
			all = append(all, Wedge{a.Host, domain, a.Binary, long})
		}
	}
	w.since = hangs
	slices.SortFunc(all, func(a, b Wedge) int {
		return cmp.Or(cmp.Compare(b.For, a.For), strings.Compare(string(a.Host), string(b.Host)), strings.Compare(a.Binary, b.Binary))
	})
	return all
}
