package vip

import (
	"fmt"
	"slices"
	"strings"
)

// ControlPlane stands in the place of an address's name where a finding is about what
// is behind all of them.
const ControlPlane = "control-plane"

// Kinds of findings about services behind the addresses.
const (
	ConductorDown    Kind = "conductor-down"
	SchedulerDown    Kind = "scheduler-down"
	GaleraNotPrimary Kind = "galera-not-primary"
	BrokerSplit      Kind = "rabbitmq-partitioned"
	VolumeDown       Kind = "cinder-volume-down"
)

// BehindKinds lists them.
var BehindKinds = [...]Kind{ConductorDown, SchedulerDown, GaleraNotPrimary, BrokerSplit, VolumeDown}

// CheckState is what a question to one of them came to. That nobody answers is unknown:
// whoever cannot be asked is not ill for it.
type CheckState string

// States of a check.
const (
	CheckWell    CheckState = "well"
	CheckIll     CheckState = "ill"
	CheckUnknown CheckState = "unknown"
)

// Check is one question to one instance of a service.
type Check struct {
	Kind  Kind       `json:"kind"` // that it would be, were it ill
	Node  string     `json:"node"`
	State CheckState `json:"state"`
	Says  string     `json:"says,omitempty"`
}

// behindRules say when a kind holds everything: without its service hosts look dead to
// Nova, or evacuations hang.
var behindRules = map[Kind]struct {
	holds func(well, ill int) bool
	do    string
}{
	ConductorDown:    {nobody, "start nova-conductor; where its log tells of the broker or the database, begin with those"},
	SchedulerDown:    {nobody, "start nova-scheduler; where its log tells of the broker or the database, begin with those"},
	GaleraNotPrimary: {nobody, "look at wsrep_cluster_status on each node; bring back the most advanced one first (docs/vip.md#restart-of-the-whole-control-plane)"},
	BrokerSplit:      {func(_, ill int) bool { return ill > 0 }, "restart RabbitMQ on the smaller side, one node after another (docs/vip.md#rabbitmq-partitioned)"},
	VolumeDown:       {func(int, int) bool { return false }, "start cinder-volume, or its storage's backend: instances on its volumes will not start elsewhere"},
}

func nobody(well, ill int) bool { return well == 0 && ill > 0 }

// behind gives what is wrong behind the addresses, one finding a kind.
func behind(checks []Check) (all []Finding) {
	for _, k := range BehindKinds {
		well := 0
		var nodes, evidence []string
		for _, c := range checks {
			switch {
			case c.Kind != k || c.State == CheckUnknown:
			case c.State == CheckWell:
				well++
			default:
				nodes = append(nodes, c.Node)
				evidence = append(evidence, strings.TrimSuffix(c.Node+": "+c.Says, ": "))
			}
		}
		if len(nodes) == 0 {
			continue
		}
		slices.Sort(evidence)
		f := finding(k, ControlPlane, nodes, evidence...)
		f.Do, f.Holds = behindRules[k].do, behindRules[k].holds(well, len(nodes))
		if f.Holds && well == 0 {
			f.Evidence = append(f.Evidence, fmt.Sprintf("and none of them is well (%d)", len(nodes)))
		}
		all = append(all, f)
	}
	return all
}
