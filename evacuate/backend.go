package evacuate

import (
	"fmt"
	"slices"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// keyBackend, in a flavor's extra specs or the metadata of a host aggregate, names
// the storage that instances have their disks on. Nova's API names none; Cinder would, at
// one call for each volume and with an account there.
const keyBackend = "lifeboat:backend"

// Backend is the storage that a server of a host has its disks on, "" if nobody says: its
// flavor's word, else that of the host's aggregates, of several the first by name.
func Backend(s nova.Server, host nova.HostName, aggregates []nova.Aggregate) string {
	if word := s.FlavorExtra[keyBackend]; word != "" {
		return word
	}
	var said []string
	for _, a := range aggregates {
		if word := a.Metadata[keyBackend]; word != "" && slices.Contains(a.Hosts, host) {
			said = append(said, word)
		}
	}
	if len(said) == 0 {
		return ""
	}
	return slices.Min(said)
}

// crowdedBackend says that an instance's storage has as many to attach as it may.
func (c *Core) crowdedBackend(e *Evacuation, l *load) string {
	if e.Backend == "" || c.policy.PerBackend <= 0 || l.backends[e.Backend] < c.policy.PerBackend {
		return ""
	}
	return fmt.Sprintf("its storage %s serves as many as it may", e.Backend)
}
