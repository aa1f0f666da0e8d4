//go:build lab

package gossip_test

import (
	"bufio"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/gossip"
)

// child says that this process is one member, which runs until it is killed.
const child = "LIFEBOAT_GOSSIP_CHILD"

const realMembers = 6

func realPeer(i int) gossip.Peer {
	return gossip.Peer{Name: fmt.Sprintf("compute-%d", i), Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(10 + i)}), 17946)}
}

func openReal(t *testing.T, i int, on func(gossip.Event)) *gossip.Member {
	t.Helper()
	var known []gossip.Peer
	for i := range realMembers {
		known = append(known, realPeer(i))
	}
	m, err := gossip.Open(t.Context(), gossip.Options{
		Name: realPeer(i).Name, Bind: realPeer(i).Addr, Keys: [][]byte{key}, Label: "cloud-a",
		Meta:  gossip.Meta{Role: gossip.RoleAgent, Boot: "boot", Start: fmt.Sprint(os.Getpid()), Version: "1"},
		Known: func() []gossip.Peer { return known }, OnEvent: on, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestLabStoppedProcess stops a real process with real sockets by SIGSTOP, as a
// paused virtual machine or a starved host stands still: timers and all.
func TestLabStoppedProcess(t *testing.T) {
	died := make(chan string, 1000)
	var members []*gossip.Member
	for i := range realMembers - 1 {
		m := openReal(t, i, func(e gossip.Event) {
			if e.Kind == gossip.EventDied {
				died <- e.Name
			}
		})
		defer m.Close()
		members = append(members, m)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLabChild$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	lines := bufio.NewScanner(out)
	wait := func(what string) string {
		for lines.Scan() {
			if strings.Contains(lines.Text(), what) {
				return lines.Text()
			}
		}
		t.Fatalf("the child ended before it said %q", what)
		return ""
	}
	wait(fmt.Sprintf("alive=%d stalled=false", realMembers))
	for _, stall := range []time.Duration{3 * time.Second, 20 * time.Second} {
		if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(stall)
		if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		t.Logf("after %v: %s", stall, wait("stalled=true"))
		t.Logf("and then: %s", wait(fmt.Sprintf("alive=%d stalled=false", realMembers)))
	}
	if line := wait("renewals"); !strings.Contains(line, "renewals=map[stalled:2]") {
		t.Errorf("it did not begin anew twice: %s", line)
	}
	for len(died) > 0 {
		if name := <-died; name != realPeer(realMembers-1).Name {
			t.Errorf("%s died", name)
		}
	}
	for i, m := range members {
		if v := m.View(); v.Alive != realMembers || len(v.Dead) != 0 {
			t.Errorf("member %d sees %+v", i, v)
		}
	}
}

// TestLabChild is the process that is stopped.
func TestLabChild(t *testing.T) {
	if os.Getenv(child) == "" {
		return // TestLabStoppedProcess starts it
	}
	m := openReal(t, realMembers-1, nil)
	defer m.Close()
	for {
		v := m.View()
		fmt.Printf("alive=%d stalled=%v dead=%v renewals=%v\n", v.Alive, v.Stalled, v.Dead, m.Stats().Renewals)
		time.Sleep(100 * time.Millisecond)
	}
}
