package evacuate

import (
	"maps"
	"slices"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// left is what Placement would give out of a host's memory.
func (w *fakeWorld) left(host nova.HostName) int {
	n := w.ram[host]
	for _, s := range w.servers {
		if s.Host == host {
			n -= s.RAMMiB
		}
	}
	for _, r := range w.rows {
		if s := w.server(r.Server); s != nil && r.Status == nova.MigrationPreMigrating && r.Dest == host && s.Host != host {
			n -= s.RAMMiB
		}
	}
	return n
}

// claimed are those to whom Placement gives room on a host: an evacuated one until its
// row is completed.
func (w *fakeWorld) claimed(host nova.HostName) map[nova.ServerID]bool {
	out := map[nova.ServerID]bool{}
	for _, s := range w.servers {
		if s.Host == host {
			out[s.ID] = true
		}
	}
	for _, r := range w.rows {
		if r.Source == host && w.server(r.Server) != nil && (r.Status == nova.MigrationDone || w.keeps[r.Server]) {
			out[r.Server] = true
		}
	}
	return out
}

// forbids is Nova's filters of server groups: the dead host counts among those of its
// members.
func (w *fakeWorld) forbids(host nova.HostName, s *nova.Server) bool {
	home, others := false, false
	for _, o := range w.servers {
		if o.ID == s.ID {
			continue
		}
		if shares(s.Apart, o.Apart) && o.Host == host {
			return true
		}
		if shares(s.Together, o.Together) {
			others, home = true, home || o.Host == host
		}
	}
	return others && !home
}

// join has a reserved host join or leave aggregates.
func (w *fakeWorld) join(a Action) {
	for _, m := range a.Joins {
		in := slices.DeleteFunc(slices.Clone(w.aggregates[a.Shield]), func(n string) bool { return n == m.Name })
		if !a.Lift {
			in = append(in, m.Name)
		}
		w.aggregates[a.Shield] = in
	}
}

// told are the aggregates as Nova lists them.
func (w *fakeWorld) told() []nova.Aggregate {
	by := map[string][]nova.HostName{}
	for _, h := range w.hosts {
		for _, name := range w.aggregates[h.name] {
			by[name] = append(by[name], h.name)
		}
	}
	var out []nova.Aggregate
	for i, name := range slices.Sorted(maps.Keys(by)) {
		out = append(out, nova.Aggregate{ID: i + 1, Name: name, Hosts: by[name]})
	}
	return out
}
