//go:build vip

package vip

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	pure "github.com/lifeboat-ha/lifeboat/detector/vip"
)

// How soon each must be named.
const (
	duplicateWithin = 2 * time.Second
	orphanWithin    = 3 * time.Second
	hollowWithin    = 4 * time.Second
	pathWithin      = 6 * time.Second
	staleMended     = 2 * time.Second
	hangingFreed    = 3 * time.Second
)

func (r *rig) movesTo(owner string, within time.Duration) time.Duration {
	r.t.Helper()
	return r.until(within, "the owner is "+owner, func() bool { return r.owner == owner })
}

// A: a graceful stop. The address moves, and nothing is wrong.
func TestA(t *testing.T) {
	r := newRig(t, plan{})
	r.mark()
	r.signal("c1.pid", syscall.SIGTERM)
	t.Logf("moved after %s", r.movesTo("c2", 5*time.Second).Round(10*time.Millisecond))
	time.Sleep(time.Second)
	r.never(pure.Duplicate, pure.Orphan, pure.RogueMAC, pure.OwnerMismatch, pure.Hollow)
}

// B2: both of keepalived's processes are killed: the address stays, and the backup
// takes it too.
func TestB2(t *testing.T) {
	r := newRig(t, plan{})
	began := r.mark()
	r.signal("c1-vrrp.pid", syscall.SIGKILL)
	r.signal("c1.pid", syscall.SIGKILL)
	r.named(pure.Orphan, began, orphanWithin)
	r.named(pure.Duplicate, r.both("c1", "c2"), duplicateWithin)
	r.mu.Lock()
	r.mender, r.mends = pure.NewMender(), true
	r.mu.Unlock()
	took := r.until(6*time.Second, "c1 takes the orphan off, and c2 announces itself", func() bool { return r.owner == "c2" && len(r.mended) >= 2 })
	r.mu.Lock()
	t.Logf("mended after %s: %v", took.Round(10*time.Millisecond), r.mended)
	if r.mended[0] != "orphan c1" || r.mended[1] != "announce c2" {
		t.Errorf("%v", r.mended)
	}
	r.mu.Unlock()
	if r.has("c1") || !r.has("c2") {
		t.Error("it was taken off another, or not at all")
	}
}

// C: the owner's link goes. Nobody has the address until the backup takes it.
func TestC(t *testing.T) {
	r := newRig(t, plan{})
	began := r.mark()
	r.sh("ip -n %s-sw link set pc1 down", r.prefix)
	r.named(pure.NoOwner, began, 3*time.Second)
	r.movesTo("c2", 8*time.Second)
	r.never(pure.Duplicate, pure.RogueMAC)
}

// D: the two lose each other, the computes see both. Then it heals, without
// keepalived's options against a silent heal: whoever still sends to the loser is named.
func TestD(t *testing.T) {
	r := newRig(t, plan{computes: 2})
	r.mark()
	r.block("part", `iifname "pc1" oifname "pc2" drop`, `iifname "pc2" oifname "pc1" drop`)
	twins := r.both("c1", "c2")
	r.named(pure.Duplicate, twins, duplicateWithin)
	time.Sleep(time.Until(twins.Add(time.Second)))
	flips := r.nodes["n1"].flips.Load() + r.nodes["n2"].flips.Load()
	time.Sleep(3 * time.Second) // seven questions of each controller
	if more := r.nodes["n1"].flips.Load() + r.nodes["n2"].flips.Load() - flips; more != 0 {
		t.Errorf("neighbour entries of the computes flipped %d times while the census asked", more)
	}
	r.mark()
	r.mu.Lock()
	r.mends = true
	r.mu.Unlock()
	r.unblock("part")
	r.movesTo("c1", 5*time.Second)
	took := r.until(3*time.Second, "the computes send to c1, which has announced itself again", func() bool {
		right := len(r.mended) > 0 && r.mended[0] == "announce c1"
		for _, n := range []string{"n1", "n2"} {
			mac, _ := r.nodes[n].mac.Load().(string)
			right = right && mac == "02:00:00:00:00:0b"
		}
		return right
	})
	t.Logf("all send to c1 %s after it alone has it", took.Round(10*time.Millisecond))
	r.mu.Lock()
	t.Logf("after the heal: %v", r.evidence)
	r.mu.Unlock()
}

// TestDByCensus: the two that have it do not report; the third controller's census
// alone names them.
func TestDByCensus(t *testing.T) {
	r := newRig(t, plan{garp: true})
	r.mark()
	r.mu.Lock()
	r.muted["c1"], r.muted["c2"] = true, true
	r.mu.Unlock()
	r.block("part", `iifname "pc1" oifname "pc2" drop`, `iifname "pc2" oifname "pc1" drop`)
	r.named(pure.Duplicate, r.both("c1", "c2"), duplicateWithin+time.Second) // two answers of each are needed
	r.never(pure.RogueMAC)
}

// E: the owner's track script fails; the address moves.
func TestE(t *testing.T) {
	r := newRig(t, plan{script: true})
	r.mark()
	if err := os.Remove(filepath.Join(r.dir, "c1.ok")); err != nil {
		t.Fatal(err)
	}
	t.Logf("moved after %s", r.movesTo("c2", 8*time.Second).Round(10*time.Millisecond))
	time.Sleep(time.Second)
	r.never(pure.Duplicate, pure.Orphan, pure.RogueMAC)
}

// F: the owner's VRRP process hangs: it keeps the address, and the backup takes it.
func TestF(t *testing.T) {
	r := newRig(t, plan{})
	began := r.mark()
	r.signal("c1-vrrp.pid", syscall.SIGSTOP)
	r.named(pure.Orphan, began, orphanWithin)
	r.named(pure.Duplicate, r.both("c1", "c2"), duplicateWithin)
	r.mu.Lock()
	r.mender, r.mends = pure.NewMender(), true
	r.mu.Unlock()
	r.until(4*time.Second, "c1 takes the orphan off", func() bool { return r.owner == "c2" })
	r.signal("c1-vrrp.pid", syscall.SIGCONT)
	r.movesTo("c1", 6*time.Second)
}

// AS: one compute does not reach the owner. VRRP and the others see nothing.
func TestAS(t *testing.T) {
	r := newRig(t, plan{computes: 3})
	began := r.mark()
	r.block("one", `iifname "pn1" oifname "pc1" drop`, `iifname "pc1" oifname "pn1" drop`)
	took := r.until(pathWithin, "n1 alone is cut off", func() bool { return !r.cut["n1"].IsZero() })
	t.Logf("path fault of n1 after %s", took.Round(10*time.Millisecond))
	r.mu.Lock()
	if r.control.Condition != "" || len(r.cut) != 1 {
		t.Errorf("it is taken for more: %+v %v", r.control, r.cut)
	}
	r.mu.Unlock()
	r.unblock("one")
	r.until(10*time.Second, "n1 is well again", func() bool { return r.cut["n1"].IsZero() && r.well() })
	_ = began
}

// DB: both backends of the owner die, HAProxy lives, and the address stays.
func TestDB(t *testing.T) {
	r := newRig(t, plan{computes: 2})
	began := r.mark()
	r.nodes["c1"].do(command{Do: "backends-off"})
	r.named(pure.Hollow, began, hollowWithin)
	r.until(pathWithin, "the computes do not reach the service", func() bool { return r.control.Condition == "ControlPlaneFault" })
	if !r.has("c1") {
		t.Error("the address has gone: the case was not played")
	}
}

// H: the announcement is lost at one compute, which sends to the former owner.
func TestH(t *testing.T) {
	r := newRig(t, plan{computes: 3})
	began := r.mark()
	r.block("lost", `oifname "pn1" ether type arp arp operation request drop`)
	r.signal("c1.pid", syscall.SIGTERM)
	r.movesTo("c2", 5*time.Second)
	r.named(pure.StaleNeighbour, began, 8*time.Second)
	r.mu.Lock()
	if text := r.evidence["internal stale-neighbour"]; !strings.Contains(text, "n1 sends to c1") || strings.Contains(text, "n2 sends") {
		t.Errorf("it names %s", text)
	}
	r.mu.Unlock()
	r.mendsNeighbour("n1", "02:00:00:00:00:0c")
}

// mendsNeighbour permits repairs, and sees the entry right and the service reached.
func (r *rig) mendsNeighbour(name, mac string) {
	r.t.Helper()
	r.mu.Lock()
	r.mend = true
	r.mu.Unlock()
	took := r.until(staleMended, name+" sends to "+mac, func() bool {
		now, _ := r.nodes[name].mac.Load().(string)
		return now == mac
	})
	r.t.Logf("the neighbour entry of %s is mended after %s", name, took.Round(10*time.Millisecond))
}

// G: the owner is cut off with all that knows it; connections from before hang.
func TestG(t *testing.T) { halfOpen(t, false) }

// TestGLost is G′: the announcement is lost, too. The neighbour comes first.
func TestGLost(t *testing.T) { halfOpen(t, true) }

func halfOpen(t *testing.T, lost bool) {
	r := newRig(t, plan{computes: 2})
	r.nodes["n1"].do(command{Do: "connect"})
	if l := <-r.nodes["n1"].said; l.Done != "connected" {
		t.Fatalf("%+v", l)
	}
	time.Sleep(600 * time.Millisecond) // they are seen before the address moves
	r.mark()
	rules := []string{`iifname "pc1" drop`, `oifname "pc1" drop`}
	if lost {
		rules = append(rules, `oifname "pn1" ether type arp arp operation request drop`)
	}
	r.mu.Lock()
	r.muted["c1"] = true
	r.mu.Unlock()
	r.block("off", rules...)
	r.movesTo("c2", 8*time.Second)
	moved := time.Now()
	if lost {
		r.named(pure.StaleNeighbour, moved, 8*time.Second)
		r.mendsNeighbour("n1", "02:00:00:00:00:0c")
		r.until(8*time.Second, "n1 reaches the service again", func() bool { return r.reaches("n1") })
	} else {
		r.named(pure.HalfOpen, moved, 10*time.Second)
	}
	known, freed, order := time.Now(), 0, []string{}
	r.mu.Lock()
	r.mend = true
	r.mu.Unlock()
	for deadline := time.After(10 * time.Second); freed < 4; {
		select {
		case l := <-r.nodes["n1"].said:
			if l.Done != "" {
				order = append(order, l.Done)
			}
			if l.Freed != "" {
				freed++
				if !strings.Contains(l.Freed, "software caused connection abort") {
					t.Errorf("a connection ended otherwise: %s", l.Freed)
				}
			}
		case <-deadline:
			t.Fatalf("%d of 4 connections freed: %v", freed, order)
		}
	}
	took := time.Since(known)
	t.Logf("4 connections freed after %s: %v", took.Round(10*time.Millisecond), order)
	if took > hangingFreed {
		t.Errorf("freed after %s, it may take %s", took, hangingFreed)
	}
	if lost && (len(order) == 0 || !strings.HasPrefix(order[0], "repaired neighbour")) {
		t.Errorf("the neighbour did not come first: %v", order)
	}
}

// TestIPv6: an IPv6 address, held by two, is found by addresses and by the census.
func TestIPv6(t *testing.T) {
	r := newRig(t, plan{six: true})
	r.mark()
	r.sh("ip -n %s addr add fd00:9::100/128 dev eth0 nodad", r.nodes["c1"].ns)
	r.sh("ip -n %s addr add fd00:9::100/128 dev eth0 nodad", r.nodes["c2"].ns)
	r.until(4*time.Second, "the twins are named", func() bool { return !r.first["six duplicate"].IsZero() })
	r.until(4*time.Second, "the census hears both", func() bool {
		for _, a := range r.sights["c3"].VIPs {
			if a.Name == "six" {
				return len(a.Answers) == 2
			}
		}
		return false
	})
}
