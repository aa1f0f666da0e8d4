package evacuate

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Keys of metadata that order the instances of a dead host. The owner of a server may
// set its metadata, and its flavor's extra specs are the operator's.
const (
	keyPriority = "lifeboat:priority" // high, normal, low, or -1000 to 1000
	keyGroup    = "lifeboat:group"    // a name, within its project
	keyAfter    = "lifeboat:after"    // the group that must be ready before it
	keyReady    = "lifeboat:ready"    // when a member is (ParseReady)
)

// Priorities as words. Nought is normal.
const (
	priorityHigh = 100
	priorityLow  = -100
	priorityMost = 1000
)

// afterMost is how long an instance waits for the group before it: later it is
// better up alone than down.
const afterMost = 10 * time.Minute

// Order says who may put an instance before others.
type Order struct {
	// Owners are heard: a server's own metadata counts.
	Owners bool `json:"owners"`
	// Ports of instances are connected to where lifeboat:ready asks for that.
	Ports bool `json:"ports,omitempty"`
	// Projects are the priorities of whole projects, by id.
	Projects map[string]int `json:"projects,omitempty"`
}

// priority reads a word; ok is false for anything else.
func priority(word string) (n int, ok bool) {
	switch word = strings.ToLower(strings.TrimSpace(word)); word {
	case "high":
		return priorityHigh, true
	case "normal":
		return 0, true
	case "low":
		return priorityLow, true
	}
	n, err := strconv.Atoi(word)
	return n, err == nil && -priorityMost <= n && n <= priorityMost
}

// Priority of a server: its own word if owners are heard, its flavor's, its
// project's; the nearest wins.
func (o Order) Priority(s nova.Server) int {
	if n, ok := priority(s.Metadata[keyPriority]); ok && o.Owners {
		return n
	}
	if n, ok := priority(s.FlavorExtra[keyPriority]); ok {
		return n
	}
	return o.Projects[s.Project]
}

// rank writes down what orders an instance among others.
func (e *Evacuation) rank(s nova.Server, o Order) {
	e.Priority, e.Size, e.Odd = o.Priority(s), s.Size(), !s.Plain()
	e.Apart, e.Together, e.Zone, e.Asks, e.Project = s.Apart, s.Together, s.Pinned, s.Asks(), s.Project
	if o.Owners && s.Project != "" {
		e.Group, e.After = s.Metadata[keyGroup], s.Metadata[keyAfter]
		ready, _ := ParseReady(s.Metadata[keyReady])
		e.Port, e.Agent, e.Ready = ready.Port, ready.Agent, ready.After
	}
}

// before sorts by priority, then the biggest first, so that it finds room.
func before(a, b *Evacuation) int {
	if a.Priority != b.Priority {
		return b.Priority - a.Priority
	}
	return b.Size.RAMMiB - a.Size.RAMMiB
}

// groupKey is a group's name with its project's: nobody waits for another tenant's.
func (e *Evacuation) groupKey(name string) string { return e.Project + "/" + name }

// circular finds the groups that wait for themselves, over whatever others: such an
// order is refused, and its members move without one.
func circular(all []*Evacuation) map[string]bool {
	after := map[string][]string{}
	for _, e := range all {
		if e.Group != "" && e.After != "" {
			from := e.groupKey(e.Group)
			if to := e.groupKey(e.After); !slices.Contains(after[from], to) {
				after[from] = append(after[from], to)
			}
		}
	}
	out := map[string]bool{}
	for group := range after {
		seen, todo := map[string]bool{}, slices.Clone(after[group])
		for len(todo) > 0 && !out[group] {
			next := todo[0]
			todo = todo[1:]
			switch {
			case next == group:
				out[group] = true
			case !seen[next]:
				seen[next] = true
				todo = append(todo, after[next]...)
			}
		}
	}
	return out
}

// behind says which group an instance waits for, "" if it need not.
func (c *Core) behind(r *Recovery, e *Evacuation, l *load) string {
	if e.After == "" || c.since(string(r.ID)+" after "+string(e.Server)) > afterMost {
		return ""
	}
	if l.moving == nil {
		l.moving = c.moving()
		l.circles = circular(slices.Concat(l.moving, l.await.all))
	}
	if l.circle(e) {
		return ""
	}
	for _, x := range l.moving {
		if x.Group == "" || x.Server == e.Server || x.groupKey(x.Group) != e.groupKey(e.After) {
			continue
		}
		switch x.State {
		case EvacSkipped:
		case EvacDone:
			if why := c.unready(x); why != "" {
				return waitsGroup + " " + e.After + ": " + why
			}
		default:
			return waitsGroup + " " + e.After
		}
	}
	if l.await.awaits(e) {
		return waitsGroup + " " + e.After
	}
	return ""
}

// circle says that the group of one waits for itself, once somebody has looked.
func (l *load) circle(e *Evacuation) bool {
	return e.Group != "" && e.After != "" && l.circles[e.groupKey(e.Group)]
}

// moving are the instances of all recoveries that are not closed, in order.
func (c *Core) moving() []*Evacuation {
	var all []*Evacuation
	for _, r := range c.state.Sorted() {
		if r.Status != StatusClosed {
			all = append(all, r.Evacuations...)
		}
	}
	return all
}
