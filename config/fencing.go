package config

// Fencing is how the controllers fence, whatever the methods are.
type Fencing struct {
	// Errands lets the leader have another controller power a host off whose BMC the
	// leader does not reach, and this one do so for a leader.
	Errands bool `yaml:"errands"`
}

// DefaultFencing holds the documented defaults.
func DefaultFencing() Fencing { return Fencing{} }
