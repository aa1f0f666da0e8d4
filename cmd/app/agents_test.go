package app

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
)

// blab is a fence agent that reads on, does nothing, and tells everybody what it
// was given.
const blab = `#!/bin/sh
while IFS= read -r line; do
  case "$line" in action=metadata)
    echo '<resource-agent name="fence_blab"><parameters>'
    for p in ip plug passwd community; do echo "<parameter name=\"$p\" required=\"1\"><content type=\"string\" /></parameter>"; done
    echo '</parameters><actions><action name="on"/><action name="off"/><action name="status"/></actions></resource-agent>'; exit 0 ;;
  esac
  echo "got $line" >&2
done
exit 1
`

// TestAgentsSecretsStayInside fences by agents that print what they are given, by
// way of the configuration, and looks for the secrets in all that comes of it: the
// attempts that are logged, the readings of the ledger, what the gates show.
func TestAgentsSecretsStayInside(t *testing.T) {
	dir := t.TempDir()
	agent := filepath.Join(dir, "fence_blab")
	fencetest.Write(t, agent, blab, 0o700)
	outlet := config.Outlet{Agent: agent, Address: "192.0.2.1", Plug: "1", Password: config.Plain("pa55word-of-pdu"),
		Secrets: map[string]config.Secret{"community": config.Plain("c0mmunity")}, Timeout: 2 * time.Second}
	other := outlet
	other.Plug = "2"
	single := config.BMC{Method: config.MethodCommand, Agent: agent, Address: outlet.Address, Plug: "1", Password: outlet.Password, Secrets: outlet.Secrets, Timeout: outlet.Timeout, Budget: 2 * time.Second}
	group := config.BMC{Method: config.MethodPDU, Feeds: 2, Outlets: []config.Outlet{outlet, other}, Budget: 2 * time.Second}
	clk := runnerClock{clock.System()}
	p, err := newPowers([]config.Host{{Name: "cmp1", BMC: []config.BMC{single, group}}}, clk, newMethod())
	if err != nil {
		t.Fatal(err)
	}
	reading := p.Read(t.Context(), "cmp1")
	_, attempts, err := p.Off(t.Context(), "cmp1", "b1", func(context.Context) error { return nil })
	if err == nil || len(attempts) != 2 || reading.Power != fence.Unknown {
		t.Fatalf("%v, %+v, %+v", err, attempts, reading)
	}
	shown, _ := json.Marshal([]any{reading, attempts, p.sights()})
	text := string(shown) + err.Error() + fmt.Sprintf("%+v %#v %+v", p.chains, p.chains, single)
	for _, secret := range []string{"pa55word-of-pdu", "c0mmunity"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	if !strings.Contains(text, "redacted") {
		t.Error("the agent told nothing: the test looks at the wrong place")
	}
}

// TestCheckAgents: a parameter that an agent does not know is a fault of the file.
func TestCheckAgents(t *testing.T) {
	agent := filepath.Join(t.TempDir(), "fence_blab")
	fencetest.Write(t, agent, blab, 0o700)
	good := config.Outlet{Agent: agent, Address: "192.0.2.1", Plug: "1", Password: config.Plain("x"), Secrets: map[string]config.Secret{"community": config.Plain("y")}}
	bad := good
	bad.Parameters = map[string]string{"plugg": "2"}
	cfg := func(o config.Outlet) *config.Controller {
		return &config.Controller{Hosts: []config.Host{{Name: "cmp1", BMC: []config.BMC{{Method: config.MethodPDU, Feeds: 1, Outlets: []config.Outlet{o}}}}}}
	}
	if err := CheckAgents(cfg(good)); err != nil {
		t.Error(err)
	}
	if err := CheckAgents(cfg(bad)); err == nil || !strings.Contains(err.Error(), "host cmp1: pdu: outlet 1: fence_blab: plugg: the agent has no such parameter: did you mean plug?") {
		t.Error(err)
	}
}
