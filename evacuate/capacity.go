package evacuate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Spare is how many more failures the cloud has room for.
type Spare struct {
	Known bool `json:"known"`
	// Failures is how many hosts, the fullest first, may die one after the other so that
	// every instance that would be moved still finds room. At most spareMost are asked.
	Failures int `json:"failures"`
	// Next is the host whose death would be one too many, Short how many of its
	// instances would find no host.
	Next  nova.HostName `json:"next,omitempty"`
	Short int           `json:"short,omitempty"`
	// Lacking is how many of these would find room, and no host that has all that they ask
	// for beside it.
	Lacking int `json:"lacking,omitempty"`
	// Domains are the failure domains that could not fall as a whole.
	Domains []string `json:"domains,omitempty"`
	Reason  string   `json:"reason,omitempty"`
}

// spareMost bounds the question: more at once is a storm, which is a person's.
const spareMost = 10

// need is what one instance takes, the zone that Nova keeps it in, and what else it asks for;
// home is the host that it is to leave.
type need struct {
	nova.Size
	zone    string
	asks    nova.Asks
	project string
	home    nova.HostName
}

// bigger sorts needs, the biggest first: so they find room.
func bigger(a, b need) int {
	return cmp.Or(b.RAMMiB-a.RAMMiB, b.VCPUs-a.VCPUs, b.PCPUs-a.PCPUs, b.DiskGiB-a.DiskGiB)
}

// cast is what would be moved off a host, the biggest first.
func cast(w *World, p Policy, host nova.HostName) []need {
	var out []need
	for _, s := range w.Servers[host] {
		yes, _ := p.Protected(s, w.Nova.Aggregates)
		if do := Choose(s, w.Storage[host], p.Restart).Do; yes && do != DoLeave {
			out = append(out, need{s.Size(), s.Pinned, s.Asks(), s.Project, host})
		}
	}
	slices.SortFunc(out, bigger)
	return out
}

// berth is one host's room while it is being filled in thought.
type berth struct {
	host nova.HostName
	zone string
	left nova.Size
	// given is what was given out of the other classes of resources.
	given map[string]int
}

// berths are the hosts that the scheduler may choose, or that are in reserve, the
// roomiest first, without the dead ones.
func berths(w *World, dead map[nova.HostName]bool) []berth {
	var out []berth
	for _, host := range slices.Sorted(maps.Keys(w.Rooms.By)) {
		if (w.usable(host) || w.inReserve(host)) && !dead[host] {
			out = append(out, berth{host, w.Nova.Services[host].Zone, w.Rooms.By[host].Left, nil})
		}
	}
	slices.SortStableFunc(out, func(a, b berth) int { return b.left.RAMMiB - a.left.RAMMiB })
	return out
}

// stow places as many as fit, each on the first host that has room and lacks nothing for it,
// and takes that room. It says how many stay behind, and for how many of these there is room
// that lacks something else.
func stow(f *filters, needs []need, in []berth) (short, lacking int) {
	for i := range needs {
		n, lacks := &needs[i], false
		at := slices.IndexFunc(in, func(b berth) bool {
			if n.zone != "" && n.zone != b.zone || !n.Within(b.left) {
				return false
			}
			lacks = f.lacks(n, b.host, b.given) != lacksNothing
			return !lacks
		})
		if at < 0 {
			if short++; lacks {
				lacking++
			}
			continue
		}
		in[at].take(n)
	}
	return short, lacking
}

func (b *berth) take(n *need) {
	b.left = b.left.Less(n.Size)
	if len(n.asks.Classes) > 0 && b.given == nil {
		b.given = map[string]int{}
	}
	for class, amount := range n.asks.Classes {
		b.given[class] += amount
	}
}

// CapacityOf says whether the instances of a host would find room elsewhere, by what
// Placement has left, and what else is known of Nova's questions (filters). Groups are not
// asked, and zones only where Nova says that it keeps an instance in one.
func CapacityOf(w *World, p Policy, host nova.HostName) Capacity {
	sizes := cast(w, p, host)
	out := Capacity{Of: len(sizes)}
	if !w.Rooms.Known(w.Now) {
		out.Reason = orWord(w.Rooms.Err, "Placement has not told for a while")
		return out
	}
	out.Known = true
	short, lacking := stow(w.filters(), sizes, berths(w, map[nova.HostName]bool{host: true}))
	out.Fits, out.Lacking = out.Of-short, lacking
	var why []string
	if short > lacking {
		why = append(why, fmt.Sprintf("Placement has no room left for %d", short-lacking))
	}
	if lacking > 0 {
		why = append(why, fmt.Sprintf("no host with room is known to have all that %d ask for beside it (traits, resources, aggregates, cell)", lacking))
	}
	out.Reason = strings.Join(why, "; ")
	return out
}

// SpareOf counts the failures that there is room for.
func SpareOf(w *World, p Policy) Spare {
	if !w.Rooms.Known(w.Now) {
		return Spare{Reason: orWord(w.Rooms.Err, "Placement has not told for a while")}
	}
	type full struct {
		host  nova.HostName
		sizes []need
		ram   int
	}
	casts := map[nova.HostName][]need{}
	var hosts []full
	for _, host := range slices.Sorted(maps.Keys(w.Nova.Services)) {
		if w.Nova.Services[host].State != nova.StateUp {
			continue
		}
		f := full{host: host, sizes: cast(w, p, host)}
		for _, s := range f.sizes {
			f.ram += s.RAMMiB
		}
		hosts, casts[host] = append(hosts, f), f.sizes
	}
	slices.SortStableFunc(hosts, func(a, b full) int { return b.ram - a.ram })
	out, filters := Spare{Known: true}, w.filters()
	dead := map[nova.HostName]bool{}
	var all []need
	for i, f := range hosts[:min(len(hosts), spareMost)] {
		dead[f.host] = true
		all = append(all, f.sizes...)
		slices.SortStableFunc(all, bigger)
		if short, lacking := stow(filters, all, berths(w, dead)); short > 0 || i == len(hosts)-1 {
			out.Next, out.Short, out.Lacking = f.host, short, lacking
			break
		}
		out.Failures = i + 1
	}
	out.Domains = crowded(w, filters, casts)
	return out
}

// crowded are the failure domains that could not fall as a whole.
func crowded(w *World, f *filters, casts map[nova.HostName][]need) []string {
	members := map[string]map[nova.HostName]bool{}
	for host := range casts {
		for _, d := range w.Domains[host] {
			name := d.Kind + " " + d.Name
			if members[name] == nil {
				members[name] = map[nova.HostName]bool{}
			}
			members[name][host] = true
		}
	}
	var out []string
	for name, dead := range members {
		var all []need
		for host := range dead {
			all = append(all, casts[host]...)
		}
		slices.SortFunc(all, bigger)
		if short, _ := stow(f, all, berths(w, dead)); short > 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Text says it in a line.
func (s Spare) Text() string {
	switch {
	case !s.Known:
		return "room for more failures is not known: " + s.Reason
	case s.Next == "":
		return fmt.Sprintf("room for the failure of %d hosts or more", s.Failures)
	}
	text := fmt.Sprintf("room for the failure of %d more", s.Failures)
	if s.Short > 0 {
		text += fmt.Sprintf("; after that %s would leave %d instances behind", s.Next, s.Short)
	}
	if s.Lacking > 0 {
		text += fmt.Sprintf(", %d of them for what they ask beside room", s.Lacking)
	}
	if len(s.Domains) > 0 {
		text += "; not for a whole " + strings.Join(s.Domains, ", ")
	}
	return text
}
