package evacuate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// offer is what a host has beside room: traits, classes of resources, and the cell that it
// is of; said is the one that the configuration names.
type offer struct {
	traits     []string
	classes    map[string]int
	cell, said string
}

func (w *fakeWorld) offerOf(host nova.HostName) *offer {
	if w.offers == nil {
		w.offers = map[nova.HostName]*offer{}
	}
	if w.offers[host] == nil {
		w.offers[host] = &offer{classes: map[string]int{}}
	}
	return w.offers[host]
}

// offered completes what Placement tells of a host.
func (w *fakeWorld) offered(host nova.HostName, room nova.Room) nova.Room {
	o := w.offers[host]
	if o == nil {
		return room
	}
	room.Traits, room.Own, room.Classes = o.traits, o.traits, maps.Clone(o.classes)
	for _, s := range w.servers {
		on := s.Host == host
		for _, m := range w.rows {
			on = on || m.Server == s.ID && m.Dest == host && m.Status == nova.MigrationPreMigrating
		}
		for class, n := range s.Asks().Classes {
			if on {
				room.Classes[class] -= n
			}
		}
	}
	return room
}

func (w *fakeWorld) cells() map[nova.HostName]string {
	out := map[nova.HostName]string{}
	for host, o := range w.offers {
		out[host] = o.said
	}
	return out
}

// gives is Placement's answer, and Nova's of cells. Aggregates nobody asks here.
func (w *fakeWorld) gives(host, from nova.HostName, s *nova.Server) bool {
	room, asks := w.offered(host, nova.Room{}), s.Asks()
	for class, n := range asks.Classes {
		if room.Classes[class] < n {
			return false
		}
	}
	for _, trait := range asks.Required {
		if !room.Has(trait) {
			return false
		}
	}
	return !slices.ContainsFunc(asks.Forbidden, room.Has) && w.offerOf(host).cell == w.offerOf(from).cell
}

// saidBy is the metadata of an aggregate that has its name from it: ssd=true.
func saidBy(aggregate string) map[string]string {
	key, word, ok := strings.Cut(aggregate, "=")
	if !ok {
		return nil
	}
	return map[string]string{key: word}
}

func (c *cloud) verbOfAsks(f []string, arg func(int) string) error {
	host := nova.HostName(arg(1))
	switch f[0] {
	case "traits": // host, traits
		c.offerOf(host).traits = slices.Sorted(slices.Values(f[2:]))
	case "class": // host, class, how much
		n, err := strconv.Atoi(arg(3))
		c.offerOf(host).classes[arg(2)] = n
		return err
	case "cell": // host, cell; "wrong": so says the configuration alone
		c.offerOf(host).said = arg(2)
		if arg(3) != "wrong" {
			c.offerOf(host).cell = arg(2)
		}
	case "flavor": // server, extra specs
		s := c.server(nova.ServerID(arg(1)))
		s.FlavorExtra = map[string]string{}
		for _, spec := range f[2:] {
			key, word, _ := strings.Cut(spec, "=")
			s.FlavorExtra[key] = word
		}
	default:
		return fmt.Errorf("no verb %q", f[0])
	}
	return nil
}
