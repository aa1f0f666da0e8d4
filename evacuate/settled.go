package evacuate

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Settled lists the hosts that are off by our own hand, recovered, and no longer
// counted as just fenced: their silence is no news to anybody.
func Settled(s *State, p Policy, now time.Time) map[nova.HostName]bool {
	settled := map[nova.HostName]bool{}
	for host := range s.Hosts {
		r := s.Open(host)
		if r != nil && r.Status != StatusOpen && r.Proof != nil && now.Sub(r.Proof.Began()) >= p.StormWindow {
			settled[host] = true
		}
	}
	return settled
}
