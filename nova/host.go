// Package nova holds the words of OpenStack Compute that Lifeboat decides with:
// hosts, services, servers, migrations, and what an error means to a caller. It
// is pure: it never talks to Nova. nova/rest does.
package nova

// HostName is a compute host as Nova's services call it (`host` of
// os-services), never the hypervisor's hostname: the two differ in many
// clouds (FQDN against short name).
type HostName string

// Hypervisor is a compute node: what a host's nova-compute manages.
type Hypervisor struct {
	ID   string
	Host HostName
	Name string // the hypervisor's hostname, which may differ from Host
	// Address is what its nova-compute calls its own ([DEFAULT]my_ip).
	Address string
}
