package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// verbs are all that a scenario can do. docs/sim.md lists them; a test holds that.
var verbs = map[string]verbDef{
	"power-cut":     {"power-cut HOSTS", "the hosts lose power; their BMCs do not", oneOf(isHost), eachHost(func(m *machine) func() { m.power.Power(false); return func() { m.power.Power(true) } })},
	"supply-cut":    {"supply-cut HOSTS", "hosts and their BMCs lose power", oneOf(isHost), eachHost(supplyCut)},
	"power-on":      {"power-on HOSTS", "somebody switches the hosts on, their BMCs too", oneOf(isHost), eachHost(powerOn)},
	"hang":          {"hang HOSTS [for D]", "the kernels stop with the power on; guests may wake", oneOf(isHost), eachHost(func(m *machine) func() { m.hang(true); return func() { m.hang(false) } })},
	"unhang":        {"unhang HOSTS", "hung hosts go on", oneOf(isHost), eachHost(func(m *machine) func() { m.hang(false); return nil })},
	"crash":         {"crash HOSTS [D]", "the hosts crash and boot by themselves within D (30s)", oneOf(isHost, isDuration), crash},
	"freeze":        {"freeze HOSTS|CONTROLLERS [for D]", "nothing above the kernel runs; the kernel answers", oneOf(isProcess), freezeThem},
	"thaw":          {"thaw HOSTS|CONTROLLERS", "what was frozen runs on", oneOf(isProcess), thawThem},
	"starve":        {"starve HOSTS|CONTROLLERS FROZEN/RUNNING [for D]", "frozen and running in turn, such as 4s/1s, each at another time", oneOf(isProcess, isRhythm), starve},
	"kill-agent":    {"kill-agent HOSTS", "the agents die; the hosts run on", oneOf(isHost), eachHost(killAgent)},
	"stop-agent":    {"stop-agent HOSTS", "the agents stop in order and say so", oneOf(isHost), eachHost(stopAgent)},
	"start-agent":   {"start-agent HOSTS", "the agents start", oneOf(isHost), eachHost(startAgent)},
	"kill-compute":  {"kill-compute HOSTS [for D]", "nova-compute dies, and stays away; the guests run on", oneOf(isHost), eachHost(func(m *machine) func() { m.compute(false); return func() { m.compute(true) } })},
	"start-compute": {"start-compute HOSTS", "nova-compute starts", oneOf(isHost), eachHost(func(m *machine) func() { m.compute(true); return nil })},

	"kill-neutron":  {"kill-neutron HOSTS [for D]", "the Neutron agent dies, and stays away (cloud.services)", oneOf(isHost), eachHost(func(m *machine) func() { m.neutron(false); return func() { m.neutron(true) } })},
	"start-neutron": {"start-neutron HOSTS", "the Neutron agent starts", oneOf(isHost), eachHost(func(m *machine) func() { m.neutron(true); return nil })},

	"isolate": {"isolate ANY [on NETWORK] [for D]", "cut off from everybody else; among themselves they talk", oneOf(isAny), isolate},
	"cut":     {"cut ANY from ANY [on NETWORK] [for D]", "nothing passes between them, either way", twoOf("from"), cutBoth},
	"mute":    {"mute ANY to ANY [on NETWORK] [for D]", "what the first send to the second is lost; the other way is well", twoOf("to"), cutOne},
	"lose":    {"lose PERCENT [between ANY and ANY] [on NETWORK] [for D]", "this share of the packets is lost", isLossy, lose},
	"delay":   {"delay D [between ANY and ANY] [on NETWORK] [for D]", "each packet takes this much longer, one way", isSlow, delay},
	"heal":    {"heal", "all faults of the networks end", none, heal},

	"bmc":  {"bmc HOSTS HOW [for D]", "HOW: unreachable, wrong-password, says-off, ignores, busy, null, nameless, conflicts, lags=D, slow=D, turns-on=D, is-of HOST, well", isBMC, bmc},
	"nova": {"nova HOW [for D]", "HOW: " + strings.Join(slices.Sorted(maps.Keys(novaWords)), ", "), isNova, novaFault},

	"storage": {"storage HOW [for D]", "the program that takes storage away: fails, hangs, well (cloud.storage_fence)", isStorage, storageFault},

	"server":   {"server HOST/N|HOST STATE", "an instance becomes: " + strings.Join(slices.Sorted(maps.Keys(serverWords)), ", "), isServer, server},
	"service":  {"service HOSTS enabled|disabled|forced-down [REASON]", "an operator sets the nova-compute service", isService, service},
	"guest":    {"guest HOST/N|HOST fails|panics", "an instance ends by itself, and its host's libvirt tells (cloud.libvirt)", isEnd, end},
	"lands":    {"lands HOST/N|HOST at HOST", "instances stand on a dead host in Nova's records by now: a migration had ended there", isLanding, lands},
	"virsh":    {"virsh HOST start|destroy HOST/N|HOST", "somebody starts or ends instances there past Nova", isVirsh, virsh},
	"masakari": {"masakari HOST/N|HOST", "somebody else asks Nova to evacuate instances", isGuests, masakari},
	"room":     {"room HOSTS full|empty|MIB [for D]", "their memory is used up, or not, or is so much", isRoom, room},
	"device":   {"device HOSTS", "a device is put in, which an instance may ask for", oneOf(isHost), device},

	"vip":    {"vip CONTROLLERS|nobody [for D]", "who has the control plane's address (cloud.vip)", isOwner, moveVIP},
	"behind": {"behind galera|rabbitmq|cinder one|all|well [for D]", "so many nodes of it say that they are ill", isBehind, breakBehind},
	"way":    {"way HOSTS HOW [for D]", "what the hosts' questions to it come to: silent, refused, bad, well", isWay, breakWay},

	"wipe":    {"wipe CONTROLLERS", "they die and lose their disks", oneOf(isVoter), eachVoter(func(v *voter) (func(), error) { v.wipe(); return nil, nil })},
	"kill":    {"kill CONTROLLERS", "SIGKILL; the disk stays", oneOf(isVoter), eachVoter(func(v *voter) (func(), error) { v.kill(); return func() { _ = v.start() }, nil })},
	"stop":    {"stop CONTROLLERS", "an orderly stop", oneOf(isVoter), eachVoter(func(v *voter) (func(), error) { v.stop(); return func() { _ = v.start() }, nil })},
	"start":   {"start CONTROLLERS", "with the disk it had", oneOf(isVoter), eachVoter(startVoter)},
	"restart": {"restart CONTROLLERS", "SIGKILL, and at once again", oneOf(isVoter), eachVoter(func(v *voter) (func(), error) { v.kill(); return startVoter(v) })},
	"clock":   {"clock ANY STEP", "the wall clock jumps: +10m, -1h", oneOf(isAny, isStep), stepClock},

	"confirm-dead": {"confirm-dead HOST [TYPED]", "an operator gives their word that the host is dead, and types its name", isConfirmed, confirmDead},

	"operator": {"operator COMMAND ...", "arm MODE, freeze on|off, maintenance HOST on|off, return HOST, remove HOST, or another command of the API: VERB [HOST] [WORD]", isCommand, operate},
}

// What words may be.

type wordCheck func(n names, word string) error

func oneOf(checks ...wordCheck) func(names, order) error {
	return func(n names, o order) error {
		if len(o.args) == 0 || len(o.args) > len(checks) {
			return fmt.Errorf("%d words after the verb", len(o.args))
		}
		for i, a := range o.args {
			if err := checks[i](n, a); err != nil {
				return err
			}
		}
		return nil
	}
}

func twoOf(middle string) func(names, order) error {
	return func(n names, o order) error {
		if len(o.args) != 3 || o.args[1] != middle {
			return fmt.Errorf("two sets with %q between them are needed", middle)
		}
		return errors.Join(isAny(n, o.args[0]), isAny(n, o.args[2]))
	}
}

func none(_ names, o order) error {
	if len(o.args) > 0 {
		return errors.New("it takes no words")
	}
	return nil
}

func isAny(n names, w string) error {
	_, err := n.resolve(w, n.voters[0])
	return err
}

func only(n names, w string, kind string, ok func(string) bool) error {
	got, err := n.resolve(w, n.voters[0])
	if err != nil {
		return err
	}
	for _, g := range got {
		if !ok(g) {
			return fmt.Errorf("%s is no %s", g, kind)
		}
	}
	return nil
}

func isHost(n names, w string) error {
	return only(n, w, "host", func(s string) bool { return strings.HasPrefix(s, "host") })
}

func isVoter(n names, w string) error {
	return only(n, w, "controller", func(s string) bool { return strings.HasPrefix(s, "ctl") })
}

func isProcess(n names, w string) error {
	return only(n, w, "host or controller", func(s string) bool { return strings.HasPrefix(s, "ctl") || strings.HasPrefix(s, "host") })
}

func isDuration(_ names, w string) error {
	if d, err := time.ParseDuration(w); err != nil || d <= 0 {
		return fmt.Errorf("%q is no duration: write such as 20s", w)
	}
	return nil
}

func isStep(_ names, w string) error {
	if _, err := time.ParseDuration(w); err != nil || (w[0] != '+' && w[0] != '-') {
		return fmt.Errorf("%q is no step of a clock: write +10m or -10m", w)
	}
	return nil
}

func rhythm(w string) (frozen, running time.Duration, err error) {
	a, b, ok := strings.Cut(w, "/")
	frozen, err1 := time.ParseDuration(a)
	running, err2 := time.ParseDuration(b)
	if !ok || err1 != nil || err2 != nil || frozen <= 0 || running <= 0 {
		return 0, 0, fmt.Errorf("%q is no rhythm: write such as 4s/1s", w)
	}
	return frozen, running, nil
}

func isRhythm(_ names, w string) error {
	_, _, err := rhythm(w)
	return err
}

// between2 reads what `lose` and `delay` share: [between ANY and ANY].
func between2(n names, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case len(args) != 4 || args[0] != "between" || args[2] != "and":
		return errors.New("write `between ANY and ANY`, or nothing for everybody")
	}
	return errors.Join(isAny(n, args[1]), isAny(n, args[3]))
}

func percent(w string) (float64, error) {
	p, ok := strings.CutSuffix(w, "%")
	v, err := strconv.ParseFloat(p, 64)
	if !ok || err != nil || v <= 0 || v > 100 {
		return 0, fmt.Errorf("%q is no percentage: write such as 10%%", w)
	}
	return v / 100, nil
}

func isLossy(n names, o order) error {
	if len(o.args) == 0 {
		return errors.New("how much?")
	}
	_, err := percent(o.args[0])
	return errors.Join(err, between2(n, o.args[1:]))
}

func isSlow(n names, o order) error {
	if len(o.args) == 0 {
		return errors.New("how long?")
	}
	return errors.Join(isDuration(n, o.args[0]), between2(n, o.args[1:]))
}
