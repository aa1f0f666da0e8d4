package nova

// Volume is one that Nova has attached to a server.
type Volume struct {
	ID string
	// Attachment is its attachment at Cinder; "" where there is none, or where this Nova
	// does not tell (before microversion 2.89, 2023).
	Attachment string
	Told       bool // Nova tells of attachments
}

// Port is a network port that Nova has given a server; State is Neutron's word.
type Port struct {
	ID    string
	MAC   string
	State string
}

// PortActive is the state of one that is bound and whose network is wired.
const PortActive = "ACTIVE"
