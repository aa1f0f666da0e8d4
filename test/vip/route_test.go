//go:build vip

package vip

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

// byC2 is how soon a host goes by another controller: its agent notices within two
// rounds, and waits for one more that is silent.
const byC2 = 15 * time.Second

// TestRoute (repair R3): a host that does not reach the owner goes by another controller,
// which accepts the address without having it, as long as that is so. Nothing of that is
// left when the way heals, when the agent stops, or when an agent starts where another
// was killed.
func TestRoute(t *testing.T) {
	r := newRig(t, plan{computes: 3, bare: true})
	s := &site{rig: r, address: ", vias: [10.9.0.12]", agent: "vip: {route: on}\n"}
	// c2 accepts what is sent to the address, and does not answer for it.
	r.sh("ip netns exec %[1]s sysctl -qw net.ipv4.conf.all.arp_ignore=1 && ip -n %[1]s route add local %[2]s dev lo", r.nodes["c2"].ns, theVIP)
	s.up()
	s.lifeboat("mode", "approve", "--reason", "the test lets hosts mend their way")
	well := func(st api.VIPStatus) bool {
		return len(st.VIPs) == 1 && st.VIPs[0].Owner == "c1" && len(st.Findings) == 0 && reaching(st) == 3
	}
	s.await(40*time.Second, "all hosts tell, and c1 has the address", well)
	time.Sleep(3 * time.Second) // each host has heard of each controller that the mode permits it
	s.detour("n1")
	if got := r.sh("ip -n %s route get %s", r.nodes["n1"].ns, theVIP); !strings.Contains(got, "via 10.9.0.12") {
		t.Errorf("the kernel sends by %s", got)
	}
	if got := r.route("n3"); got != "" {
		t.Errorf("n3, whose way is well, has %s", got)
	}
	r.unblock("n1")
	healed := time.Now()

	s.detour("n2")
	s.end("n2", syscall.SIGTERM)
	if got := r.route("n2"); got != "" {
		t.Errorf("an agent that was stopped leaves %s", got)
	}
	r.unblock("n2")
	s.begin("n2")
	s.await(20*time.Second, "n2 reaches all again", well)
	s.detour("n2")
	s.end("n2", syscall.SIGKILL)
	if r.route("n2") == "" {
		t.Fatal("a killed agent leaves nothing: the case was not played")
	}
	s.begin("n2")
	r.until(5*time.Second, "an agent takes back at its start what another left", func() bool { return r.route("n2") == "" })

	r.until(75*time.Second, "n1 goes the usual way again", func() bool { return r.route("n1") == "" && r.served("n1") })
	took := time.Since(healed)
	t.Logf("n1 goes the usual way %s after it was well", took.Round(100*time.Millisecond))
	if took < 50*time.Second {
		t.Errorf("after %s: it must be well for a minute", took)
	}
	for _, want := range []string{"n1 goes to the control plane by another controller", "n1 goes to the control plane the usual way again"} {
		s.journals(want, 15*time.Second)
	}
}

// detour cuts a host off from c1, and waits until it goes by c2.
func (s *site) detour(name string) {
	s.t.Helper()
	s.block(name, fmt.Sprintf(`iifname "p%s" oifname "pc1" drop`, name), fmt.Sprintf(`iifname "pc1" oifname "p%s" drop`, name))
	for began := time.Now(); s.route(name) == "" || !s.served(name); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > byC2 {
			s.t.Fatalf("%s does not reach the service by c2 within %s: %q\n%s", name, byC2, s.route(name), s.logs())
		}
		if s.route(name) != "" {
			s.t.Logf("%s goes by c2 %s after it was cut off from c1: %s", name, time.Since(began).Round(10*time.Millisecond), s.route(name))
		}
	}
}

// journals waits until the ledger's journal says something: a host tells with its next
// round of questions.
func (s *site) journals(want string, within time.Duration) {
	s.t.Helper()
	var journal []struct{ Text string }
	for began := time.Now(); time.Since(began) < within; time.Sleep(300 * time.Millisecond) {
		if s.read("/v1/journal", &journal); strings.Contains(fmt.Sprint(journal), want) {
			return
		}
	}
	s.t.Errorf("the journal does not say %q: %v", want, journal)
}

// reaching counts the hosts that reach all, by the matrix.
func reaching(st api.VIPStatus) (n int) {
	for _, h := range st.Matrix.Hosts {
		if h.Fresh && len(h.Fails) == 0 {
			n++
		}
	}
	return n
}

// served says that the service at the VIP answers a new connection from a node. (The
// leader may be on the far side of what is cut, and then knows of a host's failures only.)
func (r *rig) served(name string) bool {
	script := "exec 3<>/dev/tcp/" + theVIP + "/5000; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; head -c 12 <&3"
	out, err := exec.Command("ip", "netns", "exec", r.nodes[name].ns, "timeout", "2", "bash", "-c", script).Output()
	return err == nil && strings.HasSuffix(string(out), "200")
}

// route is what stands in a node's table of other ways and its rule, "" nothing.
func (r *rig) route(name string) string {
	r.t.Helper()
	return strings.Join(strings.Fields(r.sh("ip -n %[1]s route show table 27746 2>/dev/null; ip -n %[1]s rule show | grep 27746; true", r.nodes[name].ns)), " ")
}
