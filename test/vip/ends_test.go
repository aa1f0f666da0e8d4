//go:build vip

package vip

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	pure "github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/detector/vip/watch"
)

// endsEnv holds after how long the second address is placed, in the process that does it.
const endsEnv = "LIFEBOAT_VIP_ENDS"

// ended is when this kernel forgot an address, before the time by which it must have.
type ended struct {
	VIP    string
	Before time.Duration
	Lived  time.Duration
}

// TestKernelEnds holds what Lifeboat believes of this kernel against it: an address that
// nobody renews any more is gone by the time that was asked for, alone, and beside others
// of its family that end at other times.
func TestKernelEnds(t *testing.T) {
	t.Parallel()
	const apart = 5
	r := &rig{t: t, prefix: fmt.Sprintf("vt%d-%d", os.Getpid(), rigs.Add(1)), dir: t.TempDir(), nodes: map[string]*node{}, stop: make(chan struct{})}
	t.Cleanup(r.close)
	r.sh("ip netns add %s-sw", r.prefix)
	r.sh("ip -n %s-sw link add br0 type bridge && ip -n %s-sw link set br0 up", r.prefix, r.prefix)
	done := make(chan error, apart)
	for i := range apart {
		name := fmt.Sprintf("c%d", i+1)
		r.machine(name, 11+i)
		cmd := exec.CommandContext(t.Context(), "ip", "netns", "exec", r.nodes[name].ns, os.Args[0])
		cmd.Env = append(os.Environ(), endsEnv+"="+(time.Duration(i)*230*time.Millisecond).String())
		cmd.Stderr = os.Stderr
		go func() {
			out, err := cmd.Output()
			var all []ended
			if err == nil {
				err = json.Unmarshal(out, &all)
			}
			for _, e := range all {
				t.Logf("%s: %s lived for %s, gone %s before it must be", name, e.VIP, e.Lived.Round(10*time.Millisecond), e.Before.Round(10*time.Millisecond))
				if e.Before < 0 {
					t.Errorf("%s: %s was there %s too long", name, e.VIP, -e.Before)
				}
			}
			if err == nil && len(all) != 3 {
				err = fmt.Errorf("%s: %d ends", name, len(all))
			}
			done <- err
		}()
	}
	for range apart {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// playEnds places an IPv4 and an IPv6 address, and another IPv4 one later; nobody takes
// them off.
func playEnds(later time.Duration) {
	began := time.Now()
	most := func() time.Duration { return time.Since(began) }
	h := watch.Holder{Interfaces: map[string]string{}, Most: most}
	for name, addr := range map[string]string{"a": "10.9.0.100", "b": "10.9.0.101", "six": "fd00:9::100"} {
		h.VIPs, h.Interfaces[name] = append(h.VIPs, pure.VIP{Name: name, Address: netip.MustParseAddr(addr)}), "eth0"
	}
	const left = 3900 * time.Millisecond
	until, placed := map[string]time.Duration{}, map[string]time.Duration{}
	place := func(names ...string) {
		var all []pure.Placing
		for _, name := range names {
			placed[name], until[name] = most(), most()+left
			all = append(all, pure.Placing{VIP: name, Until: until[name]})
		}
		if err := h.Place(all); err != nil {
			panic(err)
		}
	}
	place("a", "six")
	time.Sleep(later)
	place("b")
	go func() { // any address that somebody adds is the reason of a look, and the next is a second away
		time.Sleep(1950*time.Millisecond - later)
		_ = exec.Command("ip", "addr", "add", "10.77.0.1/32", "dev", "lo").Run()
		_ = exec.Command("ip", "addr", "add", "fd00:77::1/128", "dev", "lo", "nodad").Run()
	}()
	var all []ended
	for len(all) < 3 {
		time.Sleep(5 * time.Millisecond)
		g, err := h.Look()
		if err != nil {
			panic(err)
		}
		for name, by := range until {
			if !g[name].Here {
				all = append(all, ended{name, by - most(), most() - placed[name]})
				delete(until, name)
			}
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}
