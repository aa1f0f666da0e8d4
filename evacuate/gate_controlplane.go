package evacuate

import (
	"fmt"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// askControlPlane: a lost network or a sick Nova looks like dead computes.
func askControlPlane(q question) (Standing, string) {
	n, net := q.world.Nova, q.world.Network
	age := q.world.Now.Sub(n.At)
	switch {
	case n.At.IsZero():
		return Held, "Nova has not been reached yet" + because(n.Err)
	case age < 0:
		return Held, "Nova's last answer is of the future: the clock was set back"
	case age > q.policy.NovaFresh:
		return Held, fmt.Sprintf("Nova has not answered for %s%s", round(age), because(n.Err))
	case net.Fresh < net.Voters/2+1:
		return Held, fmt.Sprintf("only %d of %d controllers report", net.Fresh, net.Voters)
	case net.Skew != "":
		// The ledger's times are other controllers', or of before a step.
		return Held, net.Skew
	case net.Known == 0:
		return Held, "no host was ever heard"
	case 2*net.Heard < net.Known:
		return Held, fmt.Sprintf("only %d of %d hosts are heard: rather our own network than they", net.Heard, net.Known)
	case n.Conductors == 0 || n.Schedulers == 0:
		return Held, fmt.Sprintf("Nova has %d conductors and %d schedulers up: an evacuation would hang", n.Conductors, n.Schedulers)
	}
	// A host that is proven off, or that a person calls dead, is explained, whatever
	// its neighbours do.
	explained := (q.point == AtEvacuate || q.word() != nil) && q.world.Cloud.Condition == detector.SegmentFault
	if !explained && q.world.Cloud.Holds(q.world.Verdicts[q.host]) {
		return Held, fmt.Sprintf("%s: %s", q.world.Cloud.Condition, q.world.Cloud.Detail)
	}
	if why := unheardComputes(q); why != "" {
		return Held, why
	}
	if !destination(q) {
		return Held, "no other compute is up, enabled and heard: nowhere to go"
	}
	return Met, fmt.Sprintf("Nova answered %s ago, %d of %d hosts heard", round(age), net.Heard, net.Known)
}

// unheardComputes says of a host that is to be fenced for a service though it lives that Nova
// does not hear the nova-computes of others that live either, more in all than make no storm:
// rather its message bus, or an update, than the host. "" if that is not so.
func unheardComputes(q question) string {
	if v := q.world.Verdicts[q.host]; v.State != detector.Degraded || !v.Condemned() {
		return ""
	}
	var others []nova.HostName
	for _, host := range q.state.HostNames() {
		s, known := q.world.Nova.Services[host]
		if host != q.host && known && s.State == nova.StateDown && !s.ForcedDown && q.world.Verdicts[host].State.Lives() && q.state.Open(host) == nil {
			others = append(others, host)
		}
	}
	if limit := q.policy.StormLimit(len(q.state.Hosts)); len(others) >= limit {
		return fmt.Sprintf("Nova does not hear the nova-compute of %s either, and they live: rather its message bus than %s", list(others), q.host)
	}
	return ""
}

// cutOff: a host that does not reach Nova, Placement and Glance at their address
// cannot build what it is sent.
func cutOff(v detector.Verdict) bool {
	return v.View.Path != nil && len(v.View.Path.Fails) > 0
}

// destination says that some other compute could take the instances. Nova calls
// a dead one up for a minute: one that we do not hear is none.
func destination(q question) bool {
	for host, s := range q.world.Nova.Services {
		v := q.world.Verdicts[host].State
		if host != q.host && s.State == nova.StateUp && !s.Disabled && v != detector.Dead && v != detector.Suspect && v != detector.Isolated && !cutOff(q.world.Verdicts[host]) {
			return true
		}
	}
	return false
}
