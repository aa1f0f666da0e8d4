package nova

import (
	"slices"
	"strings"
)

// Size is what a server takes of a host, and what a host has left, in the classes of
// resources of Placement that hosts commonly have: VCPU, PCPU (processors of its own),
// MEMORY_MB and DISK_GB.
type Size struct {
	VCPUs   int `json:"vcpus,omitempty"`
	PCPUs   int `json:"pcpus,omitempty"`
	RAMMiB  int `json:"ram_mib,omitempty"`
	DiskGiB int `json:"disk_gib,omitempty"`
}

// Within says that a need fits into what is left. Processors of its own may come from those
// that are shared: Nova's scheduler asks for them so where it finds no others
// (nova/scheduler/manager.py, disable_fallback_pcpu_query).
func (s Size) Within(left Size) bool {
	own := fits(s.VCPUs, left.VCPUs) && fits(s.PCPUs, left.PCPUs)
	return (own || fits(s.VCPUs+s.PCPUs, left.VCPUs)) && fits(s.RAMMiB, left.RAMMiB) && fits(s.DiskGiB, left.DiskGiB)
}

// fits: who asks for none of a class is not kept out by a host that has given out too much.
func fits(need, left int) bool { return need <= 0 || need <= left }

// Less is what is left of s when o is taken away.
func (s Size) Less(o Size) Size {
	left := Size{VCPUs: s.VCPUs - o.VCPUs, PCPUs: s.PCPUs - o.PCPUs, RAMMiB: s.RAMMiB - o.RAMMiB, DiskGiB: s.DiskGiB - o.DiskGiB}
	if left.PCPUs < 0 {
		left.VCPUs, left.PCPUs = left.VCPUs+left.PCPUs, 0
	}
	return left
}

// Plus is both together.
func (s Size) Plus(o Size) Size {
	return Size{VCPUs: s.VCPUs + o.VCPUs, PCPUs: s.PCPUs + o.PCPUs, RAMMiB: s.RAMMiB + o.RAMMiB, DiskGiB: s.DiskGiB + o.DiskGiB}
}

// Room is what Placement would still give out on a host.
type Room struct {
	Left Size
	// Disabled is the trait COMPUTE_STATUS_DISABLED: the scheduler passes it by.
	Disabled bool
	// Classes is what is left of every other class of resources, on the host and on all that
	// stands below it (nested providers) together.
	Classes map[string]int
	// Traits are those of them all, Own the host's; both sorted.
	Traits, Own []string
}

// Has says that the host, or something below it, has a trait.
func (r Room) Has(trait string) bool {
	_, found := slices.BinarySearch(r.Traits, trait)
	return found
}

// Size is what Placement asks for a server at least. What its flavor's extra specs
// replace is taken from them; of which kind some of its processors are may not be known
// (mixed), and they count for nothing then: the truth is never less.
func (s Server) Size() Size {
	need := Size{VCPUs: s.VCPUs, RAMMiB: s.RAMMiB, DiskGiB: s.DiskGiB}
	policy := s.FlavorExtra["hw:cpu_policy"]
	if policy == "" {
		policy = s.ImageProperties["hw_cpu_policy"]
	}
	switch policy {
	case "", "shared":
	case "dedicated":
		need.VCPUs, need.PCPUs = 0, s.VCPUs
	default:
		need.VCPUs = 0
	}
	named := s.resources()
	for i, into := range []*int{&need.VCPUs, &need.PCPUs, &need.RAMMiB, &need.DiskGiB} {
		if n, ok := named[counted[i]]; ok {
			*into = n
		}
	}
	return need
}

// SealedTPM says that a server has an emulated TPM, whose secret is its owner's: Nova
// evacuates none such (compute/api.py, reject_vtpm_instances).
func (s Server) SealedTPM() bool {
	has := s.FlavorExtra["hw:tpm_version"] != "" || s.ImageProperties["hw_tpm_version"] != ""
	return has && s.FlavorExtra["hw:tpm_secret_security"] != "deployment"
}

// Plain says that a server asks nothing of a host but room: no traits, resources or
// devices of its own.
func (s Server) Plain() bool {
	for key := range s.FlavorExtra {
		for _, odd := range []string{"resources", "trait:", "trait", "pci_passthrough", "accel:", "hw:cpu_policy", "hw:numa", "hw:mem_page_size", "aggregate_instance_extra_specs", "capabilities:"} {
			if strings.HasPrefix(key, odd) {
				return false
			}
		}
	}
	return true
}

// Target is where an evacuation is asked to go. The zero value leaves it to the
// scheduler; a host that is named is held against its filters, unless Force.
type Target struct {
	Host  HostName `json:"host,omitempty"`
	Force bool     `json:"force,omitempty"`
}
