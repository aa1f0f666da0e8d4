//go:build contract

package contract

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	agents "github.com/lifeboat-ha/lifeboat/fence/command"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/fence/pdu"
)

// The method command against agents of Debian's fence-agents, on the same machines
// as the methods of our own, and against a small one that breaks as it is told.
// LIFEBOAT_AGENTS=1 plays all parts of the contract with Debian's, which start a
// Python for each call; the small one keeps all of it always.

// fakeAgent keeps the contract in a few lines of shell. It hangs where a file gone
// lies beside it.
const fakeAgent = `#!/bin/sh
cd "$(dirname "$0")" || exit 1
while IFS='=' read -r key value; do case "$key" in action) action=$value ;; password) password=$value ;; plug) plug=$value ;; esac; done
if [ "$action" = metadata ]; then
  echo '<resource-agent name="fence_small"><parameters>'
  for p in ip plug password; do echo "<parameter name=\"$p\" required=\"1\"><content type=\"string\" /></parameter>"; done
  echo '</parameters><actions><action name="on"/><action name="off"/><action name="status"/></actions></resource-agent>'
  exit 0
fi
[ ! -e gone ] || sleep 60
[ "$password" = r1ght-word ] || { echo "login denied" >&2; exit 1; }
[ -z "$plug" ] || cd "$plug" 2>/dev/null || exit 1
case $action in
status)
  is=$(./bmc-power n1 get power) || exit 1
  [ "$is" = power:1 ] && { echo "Status: ON"; exit 0; }
  echo "Status: OFF"; exit 2 ;;
on) ./bmc-power n1 set power 1 ;;
off) ./bmc-power n1 set power 0 ;;
*) exit 1 ;;
esac
`

func agentMethod(t *testing.T, agent string, o agents.Options) fence.Method {
	t.Helper()
	a, err := agents.Load(t.Context(), agent)
	if err != nil {
		t.Fatal(err)
	}
	o.Now = time.Now
	m, err := agents.New(a, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFenceCommand(t *testing.T) {
	t.Parallel()
	b := newBox(t, "tcp")
	b.write(t, "fence_small", fakeAgent, 0o700)
	method := func(password string) fence.Method {
		return agentMethod(t, filepath.Join(b.dir, "fence_small"), agents.Options{Address: "192.0.2.1", Plug: ".", Password: password})
	}
	h := b.harness(method(rightPassword), method(wrongPassword))
	h.Unreachable = b.knob("gone")
	fencetest.Contract(t, h)
}

// TestFencePDU has a machine with two feeds, which dies when both are off.
func TestFencePDU(t *testing.T) {
	t.Parallel()
	b := newBox(t, "tcp")
	b.write(t, "fence_small", fakeAgent, 0o700)
	feeds := []string{"a", "b"}
	for _, f := range feeds {
		if err := os.Mkdir(filepath.Join(b.dir, f), 0o700); err != nil {
			t.Fatal(err)
		}
		// The last feed that goes takes the machine along, the first that comes
		// wakes it.
		b.write(t, f+"/bmc-power", `#!/bin/sh
cd "$(dirname "$0")" || exit 1
exec 9>../lock; flock 9
case "$2 $3 $4" in
"get power "*) if [ -e live ]; then echo power:1; else echo power:0; fi ;;
"set power 1") touch live && ../bmc-power n1 set power 1 ;;
"set power 0") [ ! -e ../stuck ] || [ "${PWD##*/}" = a ] || exit 0; rm -f live; [ -e ../a/live ] || [ -e ../b/live ] || ../bmc-power n1 set power 0 ;;
esac
`, 0o700)
	}
	group := func(password string) fence.Method {
		o := pdu.Options{Declared: len(feeds), Now: time.Now}
		for _, f := range feeds {
			o.Feeds = append(o.Feeds, agentMethod(t, filepath.Join(b.dir, "fence_small"), agents.Options{Name: "feed-" + f, Address: "192.0.2.1", Plug: f, Password: password}))
		}
		m, err := pdu.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	good := group(rightPassword)
	h := b.harness(good, group(wrongPassword))
	h.Unreachable, h.NotHonoured, h.Dumb = b.knob("gone"), b.knob("stuck"), nil
	h.Set = func(t *testing.T, on bool) {
		for _, f := range feeds {
			b.knob(f+"/live")(t, on)
		}
		b.set(t, on)
	}
	fencetest.Contract(t, h)
	// One feed alone is no proof, and the machine runs on.
	h.Set(t, true)
	b.knob("stuck")(t, true)
	chain := fence.Chain{Clock: fencetest.Clock{}, Links: []fence.Link{{Method: good, Budget: 6 * time.Second}}}
	if proof, _, err := chain.Off(t.Context(), "host", "boot", allowed); err == nil || !b.on() {
		t.Errorf("one feed of two: %v, machine on %v", proof.Record(), b.on())
	}
}

// debianAgent runs the contract for one of Debian's agents, with its parameters,
// against the box that it can log in to.
func debianAgent(t *testing.T, b *box, name string, parameters map[string]string) {
	method := func(password string) fence.Method {
		return agentMethod(t, name, agents.Options{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)), Username: "admin", Password: password, Parameters: parameters})
	}
	good := method(rightPassword)
	answers(t, good)
	h := b.harness(good, method(wrongPassword))
	h.Vague, h.Brief = true, os.Getenv("LIFEBOAT_AGENTS") == ""
	fencetest.Contract(t, h)
}

func TestFenceAgentIPMI(t *testing.T) {
	t.Parallel()
	need(t, "fence_ipmilan", "Debian: fence-agents")
	debianAgent(t, ipmiBox(t), "fence_ipmilan", map[string]string{"lanplus": "1", "cipher": "3", "power_wait": "0", "power_timeout": "2"})
}

func TestFenceAgentRedfish(t *testing.T) {
	t.Parallel()
	need(t, "fence_redfish", "Debian: fence-agents")
	b, _, _ := redfishBox(t)
	debianAgent(t, b, "fence_redfish", map[string]string{"ssl_insecure": "1", "systems_uri": "/redfish/v1/Systems/" + systemUUID, "power_timeout": "2"})
}

// TestFenceAgentSecrets looks at every process on this machine while an agent runs:
// our own call shows no secret, whatever the agent does with it afterwards.
func TestFenceAgentSecrets(t *testing.T) {
	t.Parallel()
	b := newBox(t, "tcp")
	b.write(t, "fence_small", fakeAgent, 0o700)
	secret := fmt.Sprintf("s3cret-%d", time.Now().UnixNano())
	m := agentMethod(t, filepath.Join(b.dir, "fence_small"), agents.Options{Address: "192.0.2.1", Plug: ".", Password: secret})
	b.knob("gone")(t, true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	read := make(chan fence.Reading, 1)
	go func() { read <- m.Power(ctx) }()
	looks := 0 // at all of /proc while the agent was there
	for looks < 5 && ctx.Err() == nil {
		seen := false
		dirs, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range dirs {
			for _, name := range []string{"cmdline", "environ"} {
				text, _ := os.ReadFile(filepath.Join(dir, name))
				seen = seen || strings.Contains(string(text), b.dir)
				if strings.Contains(string(text), secret) {
					t.Fatalf("%s/%s shows a secret", dir, name)
				}
			}
		}
		if seen {
			looks++
		}
	}
	cancel()
	if r := <-read; looks == 0 || strings.Contains(fmt.Sprintf("%+v %v", r, m), secret) {
		t.Errorf("%d looks at the agent, reading %+v", looks, r)
	}
}
