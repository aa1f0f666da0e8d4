package detector

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Networks of a host, in the order in which they are named.
const (
	NetworkManagement = "management"
	NetworkStorage    = "storage"
	NetworkTenant     = "tenant"
)

// Networks lists them.
var Networks = [...]string{NetworkManagement, NetworkStorage, NetworkTenant}

// Reach is an agent's own sight of one network: it asked that many others there
// and so many answered. A way that its own kernel does not know is no answer.
type Reach struct {
	Network string        `json:"network"`
	Asked   int           `json:"asked"`
	Reached int           `json:"reached"`
	Age     time.Duration `json:"age"`
}

// NetworkSight is a host's own sight of one network beside that of the others.
type NetworkSight struct {
	Reach
	// Others have a fresh sight of this network, OthersUp of them reach somebody.
	Others   int `json:"others"`
	OthersUp int `json:"others_up"`
	// AloneFor is for how long it has said that it reaches nobody.
	AloneFor time.Duration `json:"alone_for,omitempty"`
}

// NetworkWord is what is known of one network of a host.
type NetworkWord string

// Words on a network.
const (
	NetworkUp      NetworkWord = "up"
	NetworkDown    NetworkWord = "down" // and confirmed: gone for this host alone
	NetworkUnknown NetworkWord = "unknown"
)

// NetworkState is the judgement on one network of a host.
type NetworkState struct {
	Network string      `json:"network"`
	Word    NetworkWord `json:"word"`
	Detail  string      `json:"detail"`
	// Alone says that the host says it reaches nobody there, confirmed or not.
	Alone bool `json:"alone,omitempty"`
	// Confirm says that others should be asked about it.
	Confirm bool `json:"confirm,omitempty"`
}

// leastAsked and leastOthers are below which "it reaches nobody" and "the
// others do" say nothing.
const (
	leastAsked  = 2
	leastOthers = 2
)

// networks judges each network that anybody has asked about.
func (j *judgement) networks() []NetworkState {
	var states []NetworkState
	for _, name := range Networks {
		if s, known := j.network(name); known {
			states = append(states, s)
		}
	}
	return states
}

// network: its own word alone is nothing (its agent may err), and the others'
// silence alone is nothing (their way may be cut); both together are a loss,
// where the others fare well.
func (j *judgement) network(name string) (s NetworkState, known bool) {
	s = NetworkState{Network: name, Word: NetworkUnknown, Detail: "no fresh evidence"}
	own, sight := NetworkSight{}, false
	for _, n := range j.v.Networks {
		if n.Network == name {
			known, own = true, n
			sight = n.Asked > 0 && n.Age <= min(j.p.NetworkFresh, j.v.HeardFor)
		}
	}
	var silent, answered []Observer
	for _, p := range j.v.Probes {
		if p.Network != name {
			continue
		}
		known = true
		switch fresh := p.Age <= j.p.ProbeFresh && (p.Age < j.silent || len(j.hearing) > 0); {
		case fresh && p.Answer == Answered:
			answered = append(answered, p.Observer)
		case fresh && p.Answer == Silent && p.Countable && p.Ill == "" && (len(j.hearing) == 0 || p.Age <= j.v.HeardFor) && !slices.Contains(silent, p.Observer):
			silent = append(silent, p.Observer)
		}
	}
	slices.Sort(silent)
	if len(answered) > 0 {
		s.Word, s.Detail = NetworkUp, fmt.Sprintf("%s was answered lately", slices.Min(answered))
		return s, true
	}
	if len(j.hearing) == 0 {
		if len(silent) > 0 {
			s.Word, s.Detail = NetworkDown, "silent to "+join(silent)
		}
		return s, known
	}
	switch {
	case sight && own.Reached > 0:
		s.Word, s.Detail = NetworkUp, fmt.Sprintf("it reached %d of %d others %s ago", own.Reached, own.Asked, round(own.Age))
	case !sight || own.Asked < leastAsked:
	case own.Others < leastOthers || 2*own.OthersUp < own.Others:
		s.Alone, s.Detail = true, fmt.Sprintf("it reaches nobody, but only %d of %d others do: not this host's fault", own.OthersUp, own.Others)
	case len(silent) < j.p.Observers:
		s.Alone, s.Confirm = true, true
		s.Detail = fmt.Sprintf("it reaches none of %d others; %d of %d observers confirm it so far", own.Asked, len(silent), j.p.Observers)
	default:
		s.Alone, s.Word = true, NetworkDown
		s.Detail = fmt.Sprintf("it reaches none of %d others and is silent to %s, while %d of %d others are well", own.Asked, join(silent), own.OthersUp, own.Others)
	}
	return s, known
}

// lost names the networks that are down, in order.
func lost(states []NetworkState) []string {
	var names []string
	for _, s := range states {
		if s.Word == NetworkDown {
			names = append(names, s.Network)
		}
	}
	return names
}

func lossReason(names []string) Reason {
	switch {
	case len(names) > 1:
		return ReasonNetworksGone
	case names[0] == NetworkStorage:
		return ReasonStorageGone
	case names[0] == NetworkTenant:
		return ReasonTenantGone
	}
	return ReasonManagementGone
}

// Meaning is what the operator wants done about lost networks.
type Meaning string

// Meanings.
const (
	MeansFence Meaning = "fence"
	// MeansRepair asks for a repair and is reported; Lifeboat repairs no network
	// of a host by itself.
	MeansRepair Meaning = "repair"
	MeansReport Meaning = "report"
	MeansIgnore Meaning = "ignore"
)

// Meanings lists them.
var Meanings = [...]Meaning{MeansFence, MeansRepair, MeansReport, MeansIgnore}

// LostAll is the combination of all networks, which also stands for all that a
// host has: with the rest of the evidence it is Dead.
const LostAll = "management+storage+tenant"

// Matrix says what each combination of lost networks means. Its keys are the
// networks' names in order, joined by +.
type Matrix map[string]Meaning

// DefaultMatrix is safe: only silence everywhere is fenced.
func DefaultMatrix() Matrix {
	return Matrix{
		"management": MeansReport, "storage": MeansReport, "tenant": MeansReport,
		"management+storage": MeansReport, "management+tenant": MeansReport, "storage+tenant": MeansReport,
		LostAll: MeansFence,
	}
}

// Combination is a matrix's key for networks in any order.
func Combination(names ...string) string {
	var ordered []string
	for _, n := range Networks {
		if slices.Contains(names, n) {
			ordered = append(ordered, n)
		}
	}
	return strings.Join(ordered, "+")
}

// Of gives the meaning of a combination; one that is not given is the default's.
func (m Matrix) Of(combination string) Meaning {
	if w, ok := m[combination]; ok {
		return w
	}
	return DefaultMatrix()[combination]
}
