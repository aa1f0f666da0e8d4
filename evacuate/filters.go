package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// keyCell in the metadata of an aggregate says of which of Nova's cells its hosts are.
const keyCell = "lifeboat:cell"

// What a host lacks for one that would have room there keeps it waiting for so long at a
// time: then Nova's scheduler is asked all the same, for no API tells which filters it
// has, of which cell a host is, or that two providers share what both give.
const (
	// surelyPatience is for what Placement refuses by its own numbers.
	surelyPatience = 10 * time.Minute
	// perhapsPatience is for the rest, until the scheduler has said that it finds no host.
	perhapsPatience = time.Minute
)

// shortfall says how certain it is that a host with room does not take one.
type shortfall int

const (
	lacksNothing shortfall = iota
	lacksPerhaps
	lacksSurely
)

// filters are what is known of Nova's questions to a host beside room and zone: Placement's
// traits and classes, cells, and what filters of Nova's scheduler read of aggregates.
type filters struct {
	w *World
	// words are what the metadata of a host's aggregates says, all together.
	words map[nova.HostName]map[string][]string
	// known are the traits and classes that were asked about: has any host them?
	known map[string]bool
}

func (w *World) filters() *filters {
	if w.sieve == nil || w.sieve.w != w { // or it is a copy's
		w.sieve = newFilters(w)
	}
	return w.sieve
}

func newFilters(w *World) *filters {
	f := &filters{w: w, words: map[nova.HostName]map[string][]string{}, known: map[string]bool{}}
	for _, a := range w.Nova.Aggregates {
		for _, host := range a.Hosts {
			if f.words[host] == nil {
				f.words[host] = map[string][]string{}
			}
			for key, text := range a.Metadata {
				for word := range strings.SplitSeq(text, ",") {
					f.words[host][key] = append(f.words[host][key], strings.TrimSpace(word))
				}
			}
		}
	}
	return f
}

// lacks says what a host lacks for one, beside what is on its way there.
func (f *filters) lacks(n *need, host nova.HostName, taken map[string]int) shortfall {
	found := f.provides(n, host, taken)
	if found == lacksSurely {
		return found
	}
	if here := f.cell(host); here != "" && f.cell(n.home) != "" && here != f.cell(n.home) {
		return lacksPerhaps
	}
	if b := f.bars(n, host); b != (bars{}) {
		// What does not keep it out at home, no filter asks.
		if home := f.bars(n, n.home); b.specs && !home.specs || b.tenant && !home.tenant || b.isolated && !home.isolated {
			return lacksPerhaps
		}
	}
	return found
}

// provides asks Placement's part: traits and classes. What no host has comes from where
// this does not look, perhaps: a provider that several share.
func (f *filters) provides(n *need, host nova.HostName, taken map[string]int) shortfall {
	room, found := f.w.Rooms.By[host], lacksNothing
	note := func(what string, has func(nova.Room) bool) {
		if f.anywhere(what, has) {
			found = lacksSurely
		} else {
			found = max(found, lacksPerhaps)
		}
	}
	for class, amount := range n.asks.Classes {
		if room.Classes[class]-taken[class] < amount {
			note(class, func(r nova.Room) bool { _, has := r.Classes[class]; return has })
		}
	}
	for _, trait := range n.asks.Required {
		if !room.Has(trait) {
			note(trait, func(r nova.Room) bool { return r.Has(trait) })
		}
	}
	for _, trait := range n.asks.Forbidden {
		if slices.Contains(room.Own, trait) {
			found = lacksSurely
		}
	}
	if slices.ContainsFunc(n.asks.Image, func(trait string) bool { return !room.Has(trait) }) {
		found = max(found, lacksPerhaps)
	}
	return found
}

func (f *filters) anywhere(what string, has func(nova.Room) bool) bool {
	if _, asked := f.known[what]; !asked {
		f.known[what] = false
		for _, r := range f.w.Rooms.By {
			if has(r) {
				f.known[what] = true
				break
			}
		}
	}
	return f.known[what]
}

// cell is the host's own word in the configuration, else that of its aggregates if they
// have one; "": not said, and it may be any.
func (f *filters) cell(host nova.HostName) string {
	if own := f.w.Cells[host]; own != "" {
		return own
	}
	words := slices.Compact(slices.Sorted(slices.Values(f.words[host][keyCell])))
	if len(words) != 1 {
		return ""
	}
	return words[0]
}

// bars are what a host's aggregates have against one, if Nova asks them.
type bars struct{ specs, tenant, isolated bool }

func (f *filters) bars(n *need, host nova.HostName) (b bars) {
	words := f.words[host]
	// scheduler/filters/aggregate_instance_extra_specs.py
	for key, want := range n.asks.Aggregates {
		b.specs = b.specs || !matches(words[key], want)
	}
	// scheduler/filters/aggregate_multitenancy_isolation.py
	tenants := words["filter_tenant_id"]
	b.tenant = len(tenants) > 0 && n.project != "" && !slices.Contains(tenants, n.project)
	// scheduler/request_filter.py, isolate_aggregates
	for key, said := range words {
		if trait, ok := strings.CutPrefix(key, "trait:"); ok && slices.Contains(said, "required") {
			b.isolated = b.isolated || !slices.Contains(n.asks.Required, trait) && !slices.Contains(n.asks.Image, trait)
		}
	}
	return b
}

// matches is scheduler/filters/extra_specs_ops.py for plain words and <or>; whatever else it
// compares with counts as met, for some word.
func matches(words []string, want string) bool {
	fields := strings.Fields(want)
	switch {
	case len(words) == 0:
		return false
	case len(fields) > 1 && fields[0] == "<or>":
		return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(fields, w) })
	case len(fields) > 1:
		return true
	}
	return slices.Contains(words, want)
}

// need of one that is to be evacuated.
func (e *Evacuation) need(home nova.HostName) *need {
	return &need{Size: e.Size, zone: e.Zone, asks: e.Asks, project: e.Project, home: home}
}

// suits says that a host has room for one and lacks nothing for it, as far as is known.
func (c *Core) suits(r *Recovery, e *Evacuation, host nova.HostName, l *load) bool {
	return e.Size.Within(c.world.left(host, l.taken)) && c.lacks(e.need(r.Host), host, l) == lacksNothing
}

func (c *Core) lacks(n *need, host nova.HostName, l *load) shortfall {
	return c.world.filters().lacks(n, host, l.given(host))
}

// insists says that one waits no longer for a host that lacks nothing: Nova's scheduler,
// which knows better, is asked.
func (c *Core) insists(r *Recovery, e *Evacuation, least shortfall) bool {
	patience := perhapsPatience
	if least == lacksSurely || e.NoHost {
		patience = surelyPatience
	}
	return c.since(fmt.Sprintf("%s lacks %s %d", r.ID, e.Server, e.Attempt)) >= patience
}

// asksText says what no host with room has.
func (c *Core) asksText(n *need) string {
	words := n.asks.Words()
	if cell := c.world.filters().cell(n.home); cell != "" {
		words = append(words, "cell "+cell)
	}
	if len(words) == 0 {
		words = append(words, "aggregates that let it in")
	}
	return strings.Join(words, ", ")
}
