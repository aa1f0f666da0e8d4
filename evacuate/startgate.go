package evacuate

import (
	"fmt"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// StartGate says whether a host may start its nova-compute, and whatever starts its
// guests. Nova destroys at its start what was evacuated from it, even what is only on its
// way: so it waits until nothing is. acts says that the mode of the host is one that acts
// at all: where it only watches the gate is open (rule 12), but for what we have begun.
func (s *State) StartGate(host nova.HostName, acts bool) (open bool, reason string) {
	r := s.Open(host)
	switch {
	case r == nil:
		return true, "no recovery of it is under way"
	case !r.Terminal():
		return false, fmt.Sprintf("recovery %s: evacuations are on their way; its nova-compute would destroy what they leave behind", r.ID)
	case !acts:
		return true, "the mode only watches"
	case r.Status == StatusReturning && r.StorageFence != nil:
		return false, fmt.Sprintf("recovery %s: its storage is not given back yet", r.ID)
	case r.Status == StatusReturning:
		return true, fmt.Sprintf("recovery %s: the host is asked back and nothing is on its way", r.ID)
	case r.Status == StatusRecovered:
		return false, fmt.Sprintf("recovery %s: it is not asked back yet", r.ID)
	}
	return false, fmt.Sprintf("recovery %s of it is under way", r.ID)
}
