package watch

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/vip"
)

// Guard drops, in nftables, what is sent to and from an address that Lifeboat owns while
// this machine has no live lease of it: an address that is left over answers nobody. The
// kernel forgets a lease by itself, so nothing needs to run. It needs the program nft and
// CAP_NET_ADMIN. Not safe for concurrent use.
//
// What it has set stays when its process dies: Clear takes it back.
type Guard struct {
	up bool
}

const (
	// guardTable is the name of its tables, of the families inet and arp.
	guardTable = "lifeboat_vip"
	// guardTime bounds one call of nft.
	guardTime = time.Second
	// guardLate is how long a call may take before the time that it set is set anew.
	guardLate = 100 * time.Millisecond
)

// guardRules are put up once. Solicitations and answers for an IPv6 address carry it as
// their sender, those for an IPv4 address are ARP.
const guardRules = `table inet %[1]s {
 set vips4 { type ipv4_addr; }
 set vips6 { type ipv6_addr; }
 set lease4 { type ipv4_addr; flags timeout; }
 set lease6 { type ipv6_addr; flags timeout; }
 chain in { type filter hook input priority -300; policy accept;
  ip daddr @vips4 ip daddr != @lease4 drop
  ip6 daddr @vips6 ip6 daddr != @lease6 drop
 }
 chain out { type filter hook output priority -300; policy accept;
  ip saddr @vips4 ip saddr != @lease4 drop
  ip6 saddr @vips6 ip6 saddr != @lease6 drop
 }
}
table arp %[1]s {
 set vips4 { type ipv4_addr; }
 set lease4 { type ipv4_addr; flags timeout; }
 chain in { type filter hook input priority -300; policy accept;
  arp daddr ip @vips4 arp daddr ip != @lease4 drop
 }
 chain out { type filter hook output priority -300; policy accept;
  arp saddr ip @vips4 arp saddr ip != @lease4 drop
 }
}
`

// guardClear takes both tables away: one that is added is there, so that it can be deleted.
const guardClear = "table inet %[1]s {}\ntable arp %[1]s {}\ndelete table inet %[1]s\ndelete table arp %[1]s\n"

// Clear takes back whatever a controller may have left. That there is nothing, or no nft,
// is no error: then nothing was ever set.
func (g *Guard) Clear() error {
	g.up = false
	if _, err := exec.LookPath("nft"); err != nil {
		return nil
	}
	return nft(fmt.Sprintf(guardClear, guardTable))
}

// Allow lets an address be heard until a time that left counts down to, and by nobody
// afterwards.
func (g *Guard) Allow(addr netip.Addr, left func() time.Duration) error {
	for range 3 {
		most := left()
		if most < guardLate {
			return errors.New("too little of the lease is left")
		}
		script := ""
		if !g.up {
			script = fmt.Sprintf(guardClear+guardRules, guardTable)
		}
		for _, in := range guardSets(addr) {
			// An element's time is not renewed by adding it: it is taken out and put in.
			script += fmt.Sprintf("add element %[1]s vips%[2]d { %[3]s }\nadd element %[1]s lease%[2]d { %[3]s timeout %[4]dms }\ndelete element %[1]s lease%[2]d { %[3]s }\nadd element %[1]s lease%[2]d { %[3]s timeout %[4]dms }\n",
				in, family(addr), addr, (most-guardLate)/time.Millisecond)
		}
		if err := nft(script); err != nil {
			if g.up { // whoever has taken it away: it is made anew
				g.up = false
				continue
			}
			return err
		}
		g.up = true
		if most-left() <= guardLate {
			return nil
		}
	}
	return nil // it ends late by as long as nft took: the address itself ends in time
}

// Deny ends a lease at once; Yield says besides that the address is somebody else's now,
// whom nothing shall keep from it.
func (g *Guard) Deny(addr netip.Addr) error {
	return g.each(addr, "add element %[1]s lease%[2]d { %[3]s timeout 1s }\ndelete element %[1]s lease%[2]d { %[3]s }\n")
}

// Yield see Deny.
func (g *Guard) Yield(addr netip.Addr) error {
	return g.each(addr, "add element %[1]s vips%[2]d { %[3]s }\ndelete element %[1]s vips%[2]d { %[3]s }\n")
}

func (g *Guard) each(addr netip.Addr, line string) error {
	if !g.up {
		return nil
	}
	script := ""
	for _, in := range guardSets(addr) {
		script += fmt.Sprintf(line, in, family(addr), addr)
	}
	return nft(script)
}

func family(a netip.Addr) int {
	if a.Is6() {
		return 6
	}
	return 4
}

func guardSets(a netip.Addr) []string {
	if a.Is6() {
		return []string{"inet " + guardTable}
	}
	return []string{"inet " + guardTable, "arp " + guardTable}
}

// nft runs one transaction.
func nft(script string) error {
	ctx, cancel := context.WithTimeout(context.Background(), guardTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin, cmd.WaitDelay = strings.NewReader(script), guardLate
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, strings.Join(strings.Fields(string(out)), " "))
	}
	return nil
}

// allow is Allow for one order. Where it fails nothing is guarded, rather than shut.
func (h *Holder) allow(o vip.Placing, addr netip.Addr) {
	if !h.Guarded[o.VIP] {
		return
	}
	delete(h.yielded, o.VIP)
	h.unguarded = h.guard.Allow(addr, func() time.Duration { return o.Until - h.Most() })
	if h.unguarded != nil {
		h.unguarded = errors.Join(h.unguarded, h.guard.Clear())
	}
}

// yield gives an address to whoever else has put it on this machine.
func (h *Holder) yield(v vip.VIP, g vip.Ground) {
	if !h.Guarded[v.Name] || !g.Here || !g.Forever || h.yielded[v.Name] {
		return
	}
	if h.unguarded = h.guard.Yield(v.Address); h.unguarded == nil {
		if h.yielded == nil {
			h.yielded = map[string]bool{}
		}
		h.yielded[v.Name] = true
	}
}

// Unguarded says why addresses that shall be guarded are not; nil: they are.
func (h *Holder) Unguarded() error { return h.unguarded }

// Unguard takes the guard back.
func (h *Holder) Unguard() error { return h.guard.Clear() }
