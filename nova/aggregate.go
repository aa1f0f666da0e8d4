package nova

// Aggregate is a group of hosts that the operator made. A host may be in
// several, or in none.
type Aggregate struct {
	ID       int
	Name     string
	Zone     string // its availability zone, "" if it makes none
	Hosts    []HostName
	Metadata map[string]string
}
