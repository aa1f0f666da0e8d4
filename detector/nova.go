package detector

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

type seenService struct {
	state    nova.ServiceState
	at       time.Time
	reported time.Time // when its row was last seen to move by itself
	down     time.Time // since when Nova has called it down; zero: it does not
}

// Service notes what Nova says of a host's nova-compute. reported is when its
// row last moved by itself, on our clock; zero if it was not seen to move.
func (t *Table) Service(host nova.HostName, state nova.ServiceState, reported, now time.Time) {
	h := t.host(host)
	s := &seenService{state: state, at: now}
	if h.service != nil {
		s.reported = h.service.reported
	}
	if reported.After(s.reported) {
		s.reported = reported
	}
	if state == nova.StateDown {
		if s.down = now; h.service != nil && !h.service.down.IsZero() && now.Sub(h.service.at) <= ReportFresh {
			s.down = h.service.down
		}
	}
	h.service = s
}
