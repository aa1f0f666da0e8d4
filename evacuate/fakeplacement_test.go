package evacuate

import "github.com/lifeboat-ha/lifeboat/nova"

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
