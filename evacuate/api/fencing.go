package api

import (
	"net/http"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// fenceTest asks each method of a host; it may take seconds for each.
func (s *server) fenceTest(w http.ResponseWriter, r *http.Request) {
	name := nova.HostName(r.PathValue("host"))
	if s.o.FenceTest == nil {
		unknownHost(w, name)
		return
	}
	t, err := s.o.FenceTest(r.Context(), name)
	if err != nil {
		problem(w, statusOf(err), err.Error())
		return
	}
	s.o.Log.Info("fence test", "host", name, "by", principal(r.Context()).Name)
	written(w, r, t)
}

func (s *server) drills(w http.ResponseWriter, r *http.Request) {
	name := nova.HostName(r.PathValue("host"))
	if s.o.Drills != nil {
		if d, ok := s.o.Drills(name); ok {
			reply(w, d)
			return
		}
	}
	unknownHost(w, name)
}
