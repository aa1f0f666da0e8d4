package evacuate

import (
	"fmt"
	"slices"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// lasting says why an instance would be left if its host died, whatever state it is in by
// then; "" if nothing of that kind keeps it.
func lasting(s nova.Server, storage Storage) string {
	switch {
	case s.SealedTPM():
		return "it has a virtual TPM (hw:tpm_version): Nova evacuates none such"
	case diskMoves(s, storage):
		return ""
	case s.VolumeBooted:
		return fmt.Sprintf("it boots from a volume and has %d GiB of ephemeral disk on the host, whose storage is declared %q: evacuating would lose what is on that (declare storage: shared if it is, or lifeboat:reimage=true where it may be lost)", s.EphemeralGiB, storage)
	default:
		return fmt.Sprintf("its disk is an image copy and the host's storage is declared %q: evacuating would lose its data (declare storage: shared if it is)", storage)
	}
}

// Unmovable lists the protected instances of a host that would be left behind if it died,
// each with the lasting reason.
func Unmovable(servers []nova.Server, storage Storage, aggregates []nova.Aggregate, p Policy) []string {
	var out []string
	for _, s := range servers {
		if yes, _ := p.Protected(s, aggregates); !yes {
			continue
		}
		if why := lasting(s, storage); why != "" {
			out = append(out, fmt.Sprintf("%s (%s) would be left: %s", s.Name, s.ID, why))
		}
	}
	slices.Sort(out)
	return out
}

// Circles lists the groups, each within its project, that wait for themselves over
// whatever others, wherever their members are: they are moved without an order.
func Circles(servers []nova.Server, p Policy) []string {
	all := make([]*Evacuation, 0, len(servers))
	for _, s := range servers {
		e := &Evacuation{Server: s.ID, Name: s.Name}
		e.rank(s, p.Order)
		all = append(all, e)
	}
	var out []string
	for group := range circular(all) {
		out = append(out, group)
	}
	slices.Sort(out)
	return out
}
