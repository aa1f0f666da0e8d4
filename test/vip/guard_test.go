//go:build vip

package vip

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/vip/watch"
)

// guardEnv makes a process of this test one that has a leftover address, and its guard.
const guardEnv = "LIFEBOAT_VIP_GUARD"

// guarded is for how long the guard lets the addresses be heard.
const guarded = 1500 * time.Millisecond

// playGuard serves on both addresses, and sets the guard as it is told.
func playGuard() {
	var addrs []netip.Addr
	for _, a := range []string{theVIP, theVIP6} {
		l, err := net.Listen("tcp", net.JoinHostPort(a, "5000"))
		if err != nil {
			panic(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte("here\n"))
				_ = c.Close()
			}
		}()
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	g := &watch.Guard{}
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for in.Scan() {
		began, err := time.Now(), error(nil)
		for _, a := range addrs {
			switch in.Text() {
			case "allow":
				err = g.Allow(a, func() time.Duration { return guarded - time.Since(began) })
			case "deny":
				err = g.Deny(a)
			case "yield":
				err = g.Yield(a)
			case "clear":
				err = (&watch.Guard{}).Clear() // of another process
			}
			if err != nil {
				break
			}
		}
		fmt.Println(in.Text(), err)
	}
	os.Exit(0)
}

// TestGuard: addresses that are left on a machine are heard by nobody once the kernel has
// forgotten their lease, by ARP, by neighbour discovery and by TCP, and by everybody when
// the guard is taken back.
func TestGuard(t *testing.T) {
	t.Parallel()
	r := &rig{t: t, prefix: fmt.Sprintf("vt%d-%d", os.Getpid(), rigs.Add(1)), dir: t.TempDir(), nodes: map[string]*node{}, stop: make(chan struct{})}
	t.Cleanup(r.close)
	r.sh("ip netns add %s-sw", r.prefix)
	r.sh("ip -n %[1]s-sw link add br0 type bridge forward_delay 0 stp_state 0 && ip -n %[1]s-sw link set br0 up", r.prefix)
	r.machine("c1", 11)
	r.machine("n1", 14)
	r.sh("ip -n %[1]s addr add %[2]s/32 dev eth0 && ip -n %[1]s addr add %[3]s/128 dev eth0 nodad", r.nodes["c1"].ns, theVIP, theVIP6)

	var mu sync.Mutex
	last := map[string]time.Time{}
	ask := exec.Command("ip", "netns", "exec", r.nodes["n1"].ns, os.Args[0])
	ask.Env = append(os.Environ(), censusEnv+"=1")
	heard, err := ask.StdoutPipe()
	if err == nil {
		err = ask.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ask.Process.Kill(); _ = ask.Wait() })
	go func() {
		in := bufio.NewScanner(heard)
		for in.Scan() {
			var a answers
			if json.Unmarshal(in.Bytes(), &a) == nil {
				mu.Lock()
				for addr := range a.Who {
					last[addr] = a.At
				}
				mu.Unlock()
			}
		}
	}()
	cmd := exec.Command("ip", "netns", "exec", r.nodes["c1"].ns, os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), guardEnv+"=1"), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	says := bufio.NewScanner(out)
	do := func(what string) time.Time {
		t.Helper()
		if what != "" {
			_, _ = fmt.Fprintln(in, what)
		}
		if !says.Scan() || what != "" && says.Text() != what+" <nil>" {
			t.Fatalf("%s: %q", what, says.Text())
		}
		return time.Now()
	}
	is := func(open bool, when string) {
		t.Helper()
		since := time.Now()
		time.Sleep(400 * time.Millisecond)
		for _, addr := range []string{theVIP, theVIP6} {
			mu.Lock()
			answered := last[addr].After(since)
			mu.Unlock()
			err := exec.Command("ip", "netns", "exec", r.nodes["n1"].ns, "timeout", "0.5", "bash", "-c", "exec 3<>/dev/tcp/"+addr+"/5000; read -u 3 x").Run()
			if answered != open || (err == nil) != open {
				t.Errorf("%s: %s answers the census: %t, and TCP: %t", when, addr, answered, err == nil)
			}
		}
	}
	do("")
	is(true, "before")
	began := time.Now()
	do("allow")
	time.Sleep(200 * time.Millisecond)
	do("allow") // a renewal: the first would be over 0.2 s earlier
	until := time.Now().Add(guarded)
	time.Sleep(time.Until(until) + 100*time.Millisecond)
	is(false, "when the lease is over")
	mu.Lock()
	for _, addr := range []string{theVIP, theVIP6} {
		t.Logf("%s: the last answer came %s after the renewal began, which allowed %s", addr, last[addr].Sub(began.Add(200*time.Millisecond)).Round(10*time.Millisecond), guarded)
	}
	mu.Unlock()
	do("allow")
	do("deny")
	is(false, "given up")
	do("yield")
	is(true, "somebody else's")
	do("allow")
	do("deny")
	is(false, "its own guard again")
	do("clear")
	is(true, "taken back by another process")
}
