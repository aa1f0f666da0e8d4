package evacuate

import (
	"maps"
	"slices"
	"time"

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
		out = append(out, nova.Aggregate{ID: i + 1, Name: name, Hosts: by[name], Metadata: saidBy(name)})
	}
	return out
}

// sendHome is a live migration: refused, error (its row), lost, stuck, or done in 5 s.
func (c *cloud) sendHome(f *flight, o *Outcome) {
	s := c.server(f.a.Server)
	fate := next(c.homeFate, f.a.Server)
	for _, m := range c.moves {
		if m.Status == "running" {
			c.breaks("two live migrations at once: %s, and %s", m.Server, s.ID)
		}
	}
	switch fate {
	case "refused":
		o.OK, o.Definite, o.Detail = false, true, "refused (HTTP 400)"
		return
	case "lost":
		o.OK, o.Detail = false, "no answer in time"
		return
	}
	to := f.a.To.Host
	for _, h := range c.hosts {
		if to == "" && h.name != s.Host && h.up && !h.service.Disabled {
			to = h.name
		}
	}
	c.moves = append(c.moves, nova.Migration{ID: 100 + len(c.moves), Server: s.ID, Type: nova.TypeLiveMigration, Status: "running", Source: s.Host, Dest: to, CreatedAt: c.now})
	s.TaskState = nova.TaskMigrating
	c.homing = append(c.homing, homing{row: len(c.moves) - 1, at: c.now.Add(5 * time.Second), fate: fate})
	o.RequestID = "req-home"
	if fate == "timeout" {
		o.OK, o.Detail = false, "no answer in time"
	}
}

type homing struct {
	row  int
	at   time.Time
	fate string
}

// home lets live migrations end.
func (w *fakeWorld) home(now time.Time) {
	w.homing = slices.DeleteFunc(w.homing, func(h homing) bool {
		if now.Before(h.at) || h.fate == "stuck" {
			return false
		}
		m := &w.moves[h.row]
		s := w.server(m.Server)
		from, to := w.host(m.Source), w.host(m.Dest)
		switch {
		case s == nil || !from.up || from.hung || !from.guests[m.Server]:
			return true // whoever drove it is gone, and its row stays for ever
		case h.fate == "error" || !to.up || to.hung || to.service.Disabled || to.service.State != nova.StateUp:
			m.Status, s.TaskState = nova.MigrationError, ""
			return true
		}
		delete(w.host(m.Source).guests, s.ID)
		w.host(m.Dest).guests[s.ID] = true
		m.Status, s.Host, s.TaskState = nova.MigrationCompleted, m.Dest, ""
		return true
	})
}
