package config

// Order says what puts an instance before others.
type Order struct {
	// Owners may say lifeboat:priority, group, after and ready in their servers'
	// metadata.
	Owners bool `yaml:"owners"`
	// Ports of instances are connected to where lifeboat:ready asks for it.
	Ports bool `yaml:"ports"`
	// Projects are priorities of whole projects, by their id: -1000 to 1000, more is
	// sooner.
	Projects map[string]int `yaml:"projects,omitempty"`
}

// Who chooses destinations, and what is done with affinity groups.
const (
	DestinationsSpread    = "spread"
	DestinationsScheduler = "scheduler"
	AffinityAsk           = "ask"
	AffinityForce         = "force"
	ReservedEnable        = "enable"
	ReservedJoin          = "join"
)
