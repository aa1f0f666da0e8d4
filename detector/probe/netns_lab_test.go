//go:build lab

package probe

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// inside says that this process is the test again, in a network of its own.
const inside = "LIFEBOAT_PROBE_NETNS"

// TestLabRealNetwork puts the real questions in a network namespace: a prober,
// a host, and a router beyond which there is another network. It needs root.
func TestLabRealNetwork(t *testing.T) {
	if os.Getenv(inside) == "" {
		if os.Geteuid() != 0 {
			t.Fatal("needs root: it makes network namespaces")
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLabRealNetwork$", "-test.v", "-test.timeout=1m")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	n := newLabNet(t)
	p, err := New(Options{Observer: "c1", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(a string) map[string]detector.Probe {
		got := map[string]detector.Probe{}
		for _, pr := range p.Probe(t.Context(), "h", []Address{{"management", netip.MustParseAddr(a)}}, []uint16{22}) {
			got[pr.Kind] = pr
		}
		return got
	}
	expect := func(what, addr string, icmp, tcp, neigh detector.Answer) {
		t.Helper()
		got := ask(addr)
		for kind, want := range map[string]detector.Answer{detector.ProbeICMP: icmp, detector.ProbeTCP: tcp, detector.ProbeNeighbour: neigh} {
			if got[kind].Answer != want {
				t.Errorf("%s: %s: %s (%s), want %s", what, kind, got[kind].Answer, got[kind].Detail, want)
			}
		}
	}
	const a, s, f = detector.Answered, detector.Silent, detector.Failed
	expect("a host", "10.1.0.2", a, a, a)
	expect("a host by IPv6", "fd01::2", a, a, a)
	expect("nobody on our link", "10.1.0.3", s, s, s)
	expect("a host behind a router", "10.2.0.1", a, a, f)
	expect("nobody behind a router", "10.3.0.1", s, s, f) // the router drops it
	expect("no route", "203.0.113.1", f, f, f)
	expect("ourselves", "10.1.0.1", f, f, f)

	// What the kernel believes of a neighbour must not count: the entry is
	// fresh when its owner goes.
	expect("a host, again", "10.1.0.2", a, a, a)
	n.peer("ip", "link", "set", "peer", "arp", "off")
	n.peer("ip", "addr", "del", "10.1.0.2/24", "dev", "peer")
	if out := n.run("ip", "neigh", "show", "10.1.0.2"); !strings.Contains(out, "REACHABLE") && !strings.Contains(out, "STALE") {
		t.Logf("the entry was not fresh: %s", out)
	}
	expect("a host that has just gone", "10.1.0.2", s, s, s)
	n.peer("ip", "addr", "add", "10.1.0.2/24", "dev", "peer")
	n.peer("ip", "link", "set", "peer", "arp", "on")
	expect("a host that came back", "10.1.0.2", a, a, a)

	n.run("ip", "neigh", "replace", "10.1.0.9", "lladdr", "02:00:00:00:00:09", "nud", "permanent", "dev", "ours")
	if got := ask("10.1.0.9")[detector.ProbeNeighbour]; got.Answer != f {
		t.Errorf("a static neighbour: %+v", got)
	}

	n.peer("ip", "link", "set", "peer", "down")
	expect("our cable is out", "10.1.0.2", f, f, f)
	n.peer("ip", "link", "set", "peer", "up")
	time.Sleep(3 * time.Second) // addresses of IPv6 and the carrier settle

	// Without rights only TCP is left.
	if err := syscall.Setresuid(65534, 65534, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setresuid(0, 0, 0) }() // to end the peer
	expect("without rights", "10.1.0.2", f, a, f)
	expect("without rights, nobody there", "10.1.0.3", f, s, f)
}

type labNet struct {
	t   *testing.T
	pid string
}

func newLabNet(t *testing.T) *labNet {
	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLabPeer$")
	other.Env = append(os.Environ(), inside+"=peer")
	other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	})
	n := &labNet{t: t, pid: strconv.Itoa(other.Process.Pid)}
	n.run("ip", "link", "set", "lo", "up")
	n.run("ip", "link", "add", "ours", "type", "veth", "peer", "name", "peer")
	n.run("ip", "link", "set", "peer", "netns", n.pid)
	n.run("ip", "addr", "add", "10.1.0.1/24", "dev", "ours")
	n.run("ip", "addr", "add", "fd01::1/64", "dev", "ours", "nodad")
	n.run("ip", "link", "set", "ours", "up")
	n.peer("ip", "link", "set", "lo", "up")
	n.peer("ip", "addr", "add", "10.1.0.2/24", "dev", "peer")
	n.peer("ip", "addr", "add", "10.1.0.254/24", "dev", "peer")
	n.peer("ip", "addr", "add", "fd01::2/64", "dev", "peer", "nodad")
	n.peer("ip", "addr", "add", "10.2.0.1/24", "dev", "lo")
	n.peer("ip", "route", "add", "blackhole", "10.3.0.0/24")
	n.peer("ip", "link", "set", "peer", "up")
	n.run("ip", "route", "add", "10.2.0.0/24", "via", "10.1.0.254")
	n.run("ip", "route", "add", "10.3.0.0/24", "via", "10.1.0.254")
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if c, err := net.DialTimeout("tcp", "10.1.0.2:22", time.Second); err == nil {
			c.Close()
			time.Sleep(3 * time.Second) // IPv6 asks its neighbours by link-local addresses, which are tentative at first
			return n
		}
	}
	t.Fatal("the peer does not listen")
	return nil
}

func (n *labNet) run(args ...string) string {
	n.t.Helper()
	out, err := exec.CommandContext(n.t.Context(), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (n *labNet) peer(args ...string) {
	n.t.Helper()
	n.run(append([]string{"nsenter", "-t", n.pid, "-n"}, args...)...)
}

// TestLabPeer is the host that is asked: it listens until it is killed.
func TestLabPeer(t *testing.T) {
	if os.Getenv(inside) != "peer" {
		return // TestLabRealNetwork starts it
	}
	ln, err := net.Listen("tcp", ":22")
	if err != nil {
		t.Fatal(err)
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			fmt.Println(err)
			return
		}
		c.Close()
	}
}
