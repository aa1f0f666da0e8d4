package nova

import (
	"strconv"
	"strings"
)

// Size is what a server takes of a host, and what a host has left, in the classes of
// resources that every host has: VCPU, MEMORY_MB and DISK_GB of Placement.
type Size struct {
	VCPUs   int `json:"vcpus,omitempty"`
	RAMMiB  int `json:"ram_mib,omitempty"`
	DiskGiB int `json:"disk_gib,omitempty"`
}

// Within says that a need fits into what is left.
func (s Size) Within(left Size) bool {
	return s.VCPUs <= left.VCPUs && s.RAMMiB <= left.RAMMiB && s.DiskGiB <= left.DiskGiB
}

// Less is what is left of s when o is taken away.
func (s Size) Less(o Size) Size {
	return Size{s.VCPUs - o.VCPUs, s.RAMMiB - o.RAMMiB, s.DiskGiB - o.DiskGiB}
}

// Room is what Placement would still give out on a host.
type Room struct {
	Left Size
	// Disabled is the trait COMPUTE_STATUS_DISABLED: the scheduler passes it by.
	Disabled bool
}

// Size is what Placement asks for a server at least. What its flavor's extra specs
// replace is taken from them, or counts for nothing where it is of another kind
// (processors of its own, say): the truth is never less.
func (s Server) Size() Size {
	need := Size{VCPUs: s.VCPUs, RAMMiB: s.RAMMiB, DiskGiB: s.DiskGiB}
	if cpus := s.FlavorExtra["hw:cpu_policy"]; cpus != "" && cpus != "shared" {
		need.VCPUs = 0
	}
	for class, into := range map[string]*int{"VCPU": &need.VCPUs, "MEMORY_MB": &need.RAMMiB, "DISK_GB": &need.DiskGiB} {
		if n, err := strconv.Atoi(s.FlavorExtra["resources:"+class]); err == nil {
			*into = n
		}
	}
	return need
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
