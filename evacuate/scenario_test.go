package evacuate

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

var update = flag.Bool("update", false, "write the golden logs of testdata/*.txt anew")

// divider separates a scenario's script from its golden log.
const divider = "---- log ----\n"

// TestScenarios plays testdata/*.txt: a story, a script, and the log of what
// was committed and called. `go test ./evacuate -run Scenarios -update` writes
// the logs; read the difference before you commit it.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playFile(t, file) })
	}
}

func playFile(t *testing.T, file string) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	script, want, _ := strings.Cut(string(b), divider)
	c := newCloud(t, 0)
	stories := 0
	for n, line := range strings.Split(script, "\n") {
		if strings.HasPrefix(line, "#") {
			stories++
			continue
		}
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := c.verb(strings.Fields(line)); err != nil {
			t.Errorf("%s:%d: %s: %v", file, n+1, line, err)
		}
	}
	if stories < 2 || stories > 5 {
		t.Errorf("%s: its story has %d lines, 2 to 5 are asked for", file, stories)
	}
	for _, b := range c.broken {
		t.Errorf("%s: broken: %s", file, b)
	}
	got := strings.Join(c.log, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(script+divider+got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("%s: the log differs:\n%s", file, difference(want, got))
	}
}

// difference shows the first lines that differ.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		at := func(s []string) string {
			if i < len(s) {
				return s[i]
			}
			return "(end)"
		}
		if at(w) != at(g) {
			return fmt.Sprintf("line %d\n want %s\n  got %s", i+1, at(w), at(g))
		}
	}
	return ""
}

// verb plays one line of a script.
func (c *cloud) verb(f []string) error {
	arg := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	host := nova.HostName(arg(1))
	if f[0] != "tick" && f[0] != "expect" {
		c.say("> %s", strings.Join(f, " "))
	}
	switch f[0] {
	case "host":
		c.scriptHost(host, arg(2))
	case "servers":
		for _, id := range f[2:] {
			name, state, _ := strings.Cut(id, "=")
			if state == "" {
				state = nova.VMActive
			}
			c.addServer(nova.ServerID(name), host, state, c.start)
		}
	case "dead":
		c.host(host).off()
	case "hang":
		c.host(host).hung = true
	case "heal":
		c.host(host).hung = false
	case "boot":
		c.host(host).on(c.now)
	case "verdict":
		c.host(host).verdict = detector.State(strings.TrimPrefix(arg(2), "-"))
	case "bmc":
		c.scriptBMC(host, arg(2))
	case "post":
		c.postFate[nova.ServerID(arg(1))] = f[2:]
	case "stop":
		if c.stopFate == nil {
			c.stopFate = map[nova.ServerID][]string{}
		}
		c.stopFate[nova.ServerID(arg(1))] = f[2:]
	case "row":
		c.rowFate[nova.ServerID(arg(1))] = f[2:]
	case "delete":
		c.delete(nova.ServerID(arg(1)))
	case "foreign":
		s := c.server(nova.ServerID(arg(1)))
		c.accept(s, s.Host, c.now, nova.Target{Host: nova.HostName(arg(2))})
	case "tick":
		d, err := time.ParseDuration(arg(1))
		if err != nil {
			return err
		}
		c.run(d)
	case "expect":
		return c.expect(f[1:], strings.Join(f[3:], " "))
	default:
		return c.verbMore(f, host, arg)
	}
	return nil
}

func (c *cloud) scriptHost(name nova.HostName, how string) {
	h := c.addHost(name, c.now)
	if how != "" {
		h.service.Disabled, h.service.DisabledReason = true, how
	}
	c.quieter = true
	m := machineOf(name)
	_ = c.operator(Entry{Kind: KindHostSeen, Seen: []HostSeen{{Host: name, Boot: h.boot, PoweredOn: c.now, Machine: &m}}})
	c.quieter = false
}

func (c *cloud) scriptBMC(name nova.HostName, how string) {
	h := c.host(name)
	switch how {
	case "reads-on":
		h.onRead = c.now
	case bmcWrong:
		c.lied = true
		fallthrough
	default:
		h.bmc = how
	}
}

// verbMore holds the verbs of operators and of Lifeboat's own faults.
func (c *cloud) verbMore(f []string, host nova.HostName, arg func(int) string) error {
	switch f[0] {
	case "nova":
		c.novaDown = arg(1) == "down"
	case "leader":
		c.crashAt = ""
		if arg(1) == "crash" {
			c.crash()
		} else {
			c.crashAt = arg(2)
		}
	case "freeze":
		if arg(1) == "file" {
			c.frozen = "by a file"
			return nil
		}
		return c.operator(Entry{Kind: KindFreeze, Flag: true, Text: strings.Join(f[1:], " ")})
	case "unfreeze":
		c.frozen = ""
		return c.operator(Entry{Kind: KindFreeze})
	case "restore":
		return c.operator(Entry{Kind: KindClusterRestored})
	case "policy":
		n, err := strconv.Atoi(arg(2))
		switch {
		case arg(1) == "power_on":
			c.policy.PowerOn = arg(2) == "automatic"
		case arg(1) == "storm" && err == nil:
			c.policy.StormCount, c.policy.StormPercent = n, 0
		case arg(1) == "in_flight" && err == nil:
			c.policy.InFlight = n
		case arg(1) == "ports":
			c.policy.Order.Ports = arg(2) == "on"
		case arg(1) == "failback":
			c.policy.Failback = time.Duration(n) * time.Second
		case arg(1) == "reserved":
			c.policy.JoinReserves = arg(2) == "join"
		case arg(1) == "storage":
			c.policy.Proofs.Storage = StorageDemand(arg(2))
		case arg(1) == "protect":
			c.policy.Protect = Protect(arg(2))
		case arg(1) == "quarantine":
			c.policy.Quarantine = time.Duration(n) * time.Second
		case arg(1) == "kdump":
			c.policy.KdumpQuiet, c.policy.KdumpMost = 30*time.Second, time.Duration(n)*time.Second
		default:
			return fmt.Errorf("no policy %q", arg(1))
		}
		c.core = NewCore(c.policy)
	case "release":
		return c.operator(Entry{Kind: KindHostRelease, Host: host, Text: "its memory was replaced"})
	case "dumps":
		if arg(2) == "no-more" {
			c.host(host).dump = time.Time{}
			break
		}
		c.host(host).dump = c.now
	case "metadata":
		k, v, _ := strings.Cut(arg(2), "=")
		s := c.server(nova.ServerID(arg(1)))
		if s.Metadata == nil {
			s.Metadata = map[string]string{}
		}
		s.Metadata[k], s.Project = v, "p1"
	case "return":
		r := c.recovery(host)
		return c.operator(Entry{Kind: KindReturn, Recovery: r.ID, Return: &Return{Asked: c.now, By: "ann", Reason: "repaired"}, Text: "asked back by ann"})
	case "nova-lags", "nova-knows":
		c.host(host).lags = f[0] == "nova-lags"
	case "keeps":
		c.keeps[nova.ServerID(arg(1))] = arg(2) != "no-more"
	case "compute":
		h := c.host(host)
		h.stays = arg(2) == "stays-down"
		if arg(2) == "restarts" {
			h.starts++
		}
	default:
		return c.verbOfModes(f, host, arg)
	}
	return nil
}

// expect checks what came of it.
func (c *cloud) expect(f []string, rest string) error {
	var got string
	host := nova.HostName(f[1])
	r := c.recovery(host)
	switch f[0] {
	case "posts":
		got = strconv.Itoa(c.posts[nova.ServerID(f[1])])
	case "server":
		got = "gone"
		if s := c.server(nova.ServerID(f[1])); s != nil {
			got = string(s.Host) + " " + s.VMState
		}
	case "service":
		s := c.host(host).service
		got = "enabled"
		if s.Disabled {
			got = "disabled " + s.DisabledReason
		}
		if s.ForcedDown {
			got += " forced-down"
		}
	case "aggregates":
		got = strings.Join(c.aggregates[host], " ")
	case "storage":
		got = map[bool]string{true: "gone", false: "there"}[c.host(host).cut]
	case "power":
		got = map[bool]string{true: "on", false: "off"}[c.host(host).power]
	case "verdict":
		got = string(c.verdictNow(host))
	case "recoveries":
		n := 0
		for _, r := range c.state.Recoveries {
			if r.Host == host {
				n++
			}
		}
		got = strconv.Itoa(n)
	case "status", "hold", "proof":
		got = describeRecovery(f[0], r)
	case "plan", "shadow":
		got = c.describeAsked(f[0], f[1])
	case "explain":
		x := Explain(c.state, c.core.Decisions()[host], c.world().Verdicts[host], c.now)
		if strings.Contains(x.Text(), rest) {
			return nil
		}
		got = x.Text()
	default:
		return fmt.Errorf("nothing to expect called %q", f[0])
	}
	if got != rest {
		return fmt.Errorf("%s of %s is %q, not %q", f[0], f[1], got, rest)
	}
	return nil
}

func describeRecovery(what string, r *Recovery) string {
	switch {
	case r == nil:
		return "none"
	case what == "status" && r.Status == StatusClosed:
		return string(r.Status) + " " + r.Outcome
	case what == "status":
		return string(r.Status)
	case what == "proof":
		if _, ok := r.Proved(); ok {
			return "valid"
		}
		if r.Proof != nil {
			return "void"
		}
		return "none"
	case r.Hold == nil:
		return "none"
	case r.Hold.Gate != "":
		return "gate " + string(r.Hold.Gate)
	}
	return "step " + string(r.Hold.Step)
}
