//go:build vip

package vip

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// TestOwnRandom plays random schedules of faults upon three controllers that own an
// address of each family: LIFEBOAT_VIP_SCHEDULES of them (10), from LIFEBOAT_VIP_SEED
// on. A seed gives the same faults at the same times again; what they meet differs.
func TestOwnRandom(t *testing.T) {
	t.Parallel()
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return otherwise
	}
	const rigs = 2
	schedules, first := number("LIFEBOAT_VIP_SCHEDULES", 10), number("LIFEBOAT_VIP_SEED", 1)
	for half := range rigs {
		t.Run(fmt.Sprint(half+1), func(t *testing.T) {
			w := newOwnRig(t, false)
			w.settled(30 * time.Second)
			for seed := first + half; seed < first+schedules; seed += rigs {
				w.schedule(uint64(seed))
			}
			w.never()
		})
	}
}

// schedule plays three to five faults within four seconds, mends everything, and waits
// until somebody has both addresses.
func (w *ownRig) schedule(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	names := []string{"c1", "c2", "c3"}
	some := func(most time.Duration) time.Duration { return time.Duration(r.Int64N(int64(most))) }
	dead, stopped, cuts, links := map[string]bool{}, map[string]bool{}, 0, map[string]bool{}
	text := ""
	note := func(format string, args ...any) { text += "; " + fmt.Sprintf(format, args...) }
	for range 3 + r.IntN(3) {
		// Which controller is meant stands in the seed; half of the time it is whoever
		// has the address then.
		c, other, of := names[r.IntN(3)], names[r.IntN(3)], r.IntN(2)
		if h := w.holder(theVIP); of == 0 && h != "" {
			c = h
		}
		kind, d := r.IntN(9), some(3*time.Second)
		switch {
		case kind == 0 && !dead[c]:
			w.kill(c, syscall.SIGKILL)
			dead[c] = true
			note("%s killed", c)
		case kind == 1 && dead[c]:
			w.start(c)
			delete(dead, c)
			note("%s started", c)
		case kind <= 2 && !dead[c] && !stopped[c]:
			w.kill(c, syscall.SIGSTOP)
			stopped[c] = true
			note("%s stopped", c)
		case kind == 3 && stopped[c]:
			w.kill(c, syscall.SIGCONT)
			delete(stopped, c)
			note("%s goes on", c)
		case kind <= 4 && c != other:
			cuts++
			w.block(fmt.Sprintf("cut%d", cuts), fmt.Sprintf(`iifname "p%s" oifname "p%s" drop`, c, other), fmt.Sprintf(`iifname "p%s" oifname "p%s" drop`, other, c))
			note("%s | %s", c, other)
		case kind == 5:
			cuts++
			w.block(fmt.Sprintf("cut%d", cuts), fmt.Sprintf(`iifname "p%s" oifname "pc*" drop`, c))
			note("%s is not heard by controllers", c)
		case kind == 6 && !dead[c]:
			w.tell(c, fmt.Sprintf("jump %s", d))
			note("%s: clock + %s", c, d.Round(time.Millisecond))
		case kind == 7 && !dead[c]:
			w.tell(c, fmt.Sprintf("fsync %s", d/2))
			note("%s: each write takes %s", c, (d / 2).Round(time.Millisecond))
		case kind == 8 && !links[c]:
			w.sh("ip -n %s-sw link set p%s down", w.prefix, c)
			links[c] = true
			note("the link of %s is down", c)
		}
		time.Sleep(some(2 * time.Second))
	}
	for i := range cuts {
		w.unblock(fmt.Sprintf("cut%d", i+1))
	}
	for _, c := range names {
		if links[c] {
			w.sh("ip -n %s-sw link set p%s up", w.prefix, c)
		}
		if stopped[c] {
			w.kill(c, syscall.SIGCONT)
		}
		if dead[c] {
			w.start(c)
		} else {
			w.tell(c, "fsync 0s")
		}
	}
	began := time.Now()
	who := w.settled(30 * time.Second)
	w.t.Logf("seed %d: %s has it %s after all was mended%s", seed, who, time.Since(began).Round(10*time.Millisecond), text)
}
