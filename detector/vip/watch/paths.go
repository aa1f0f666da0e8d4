package watch

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
)

// PathsEvery is how often a host asks, before chance is added to it.
const PathsEvery = 2 * time.Second

// Paths is a host's own sight of the control plane.
type Paths struct {
	Now func() time.Time
	Log *slog.Logger
	// Ask is Ask, but for tests.
	Ask func(context.Context, vip.Target) detector.PathWord
	// Confirm asks others on what this host does not reach, before it says so; nil
	// asks nobody.
	Confirm func(ctx context.Context, targets []vip.Target) (asked, reached int)
	// Neighbours is Neighbours; nil looks at none.
	Neighbours func(vips []vip.VIP) []detector.MAC

	mu       sync.Mutex
	vips     []vip.VIP
	targets  []vip.Target
	words    []detector.PathWord
	known    []bool
	turn     int
	at       time.Time
	answered map[string]time.Time // by VIP
	peers    [2]int
	hanging  int
}

// Set gives the lists; a change begins anew.
func (p *Paths) Set(vips []vip.VIP, targets []vip.Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.vips = vips
	if vip.List(p.targets) == vip.List(targets) && len(p.targets) == len(targets) {
		return
	}
	p.targets = slices.Clone(targets)
	p.words, p.known, p.turn, p.at = make([]detector.PathWord, len(targets)), make([]bool, len(targets)), 0, time.Time{}
	p.answered = map[string]time.Time{}
}

// Row is what a heartbeat tells; nil before everything was asked once. The kernel's
// neighbours are those of this instant.
func (p *Paths) Row() *detector.PathRow {
	p.mu.Lock()
	defer p.mu.Unlock()
	var owners []detector.MAC
	if p.Neighbours != nil {
		owners = p.Neighbours(p.vips)
	}
	if len(p.targets) == 0 || p.at.IsZero() || slices.Contains(p.known, false) {
		return nil
	}
	return &detector.PathRow{List: vip.List(p.targets), Words: slices.Clone(p.words), Age: p.Now().Sub(p.at), Owners: owners,
		Hanging: p.hanging, Peers: p.peers[1], PeersAsked: p.peers[0]}
}

// Hanging notes how many connections hang.
func (p *Paths) Hanging(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hanging = n
}

// At is what the services at a VIP came to together, when they were last asked, and how
// many other hosts were asked then and reached them: ok where one answers, silent where
// none does. Zero: not asked yet.
func (p *Paths) At(name string) (word detector.PathWord, at time.Time, asked, reached int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.targets) == 0 || p.at.IsZero() || slices.Contains(p.known, false) {
		return detector.PathOK, time.Time{}, 0, 0
	}
	n := 0
	word = detector.PathSilent
	for i, t := range p.targets {
		if t.VIP != name || t.Informs {
			continue
		}
		n++
		if w := p.words[i]; w == detector.PathOK || word == detector.PathSilent {
			word = w
		}
	}
	if n == 0 {
		return detector.PathOK, time.Time{}, 0, 0
	}
	return word, p.at, p.peers[0], p.peers[1]
}

// Answered is when a service at a VIP last answered.
func (p *Paths) Answered(name string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answered[name]
}

// Round asks whatever is due: what failed or was never asked, and of the rest one in
// turn at a VIP and one elsewhere.
func (p *Paths) Round(ctx context.Context) {
	p.mu.Lock()
	targets, due := slices.Clone(p.targets), p.due()
	p.mu.Unlock()
	if len(targets) == 0 {
		return
	}
	began := p.Now()
	words := p.ask(ctx, targets, due)
	asked, reached := 0, 0
	if failed := failedOf(words); len(failed) > 0 {
		asked, reached = p.again(ctx, targets, words, failed)
	}
	if ctx.Err() != nil {
		return // broken off: says nothing
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.targets) != len(targets) {
		return // the list has changed meanwhile
	}
	for i, w := range words {
		p.words[i], p.known[i] = w, true
		if name := targets[i].VIP; name != "" && w == detector.PathOK {
			p.answered[name] = began
		}
	}
	p.at, p.peers = began, [2]int{asked, reached}
}

// failedOf lists what did not answer well, in order.
func failedOf(words map[int]detector.PathWord) (failed []int) {
	for i, w := range words {
		if w != detector.PathOK {
			failed = append(failed, i)
		}
	}
	slices.Sort(failed)
	return failed
}

// again asks once more what failed, for a single question may be lost; meanwhile the
// other targets at those addresses, and other hosts. If it was a lost question, what
// else was found counts for nothing.
func (p *Paths) again(ctx context.Context, targets []vip.Target, words map[int]detector.PathWord, failed []int) (asked, reached int) {
	var more []int
	var gone []vip.Target
	for _, i := range failed {
		gone = append(gone, targets[i])
		for j, t := range targets {
			if _, had := words[j]; !had && !slices.Contains(more, j) && t.Address.Addr() == targets[i].Address.Addr() {
				more = append(more, j)
			}
		}
	}
	var all sync.WaitGroup
	var second, others map[int]detector.PathWord
	all.Go(func() { second = p.ask(ctx, targets, failed) })
	all.Go(func() { others = p.ask(ctx, targets, more) })
	if p.Confirm != nil {
		all.Go(func() { asked, reached = p.Confirm(ctx, gone) })
	}
	all.Wait()
	maps.Copy(words, second)
	if len(failedOf(second)) > 0 {
		maps.Copy(words, others)
	}
	return asked, reached
}

func (p *Paths) due() []int {
	var due []int
	for i := range p.targets {
		if !p.known[i] || p.words[i] != detector.PathOK {
			due = append(due, i)
		}
	}
	// One target at a VIP and one elsewhere take their turn in each round.
	var there, elsewhere []int
	for i, t := range p.targets {
		if t.VIP != "" {
			there = append(there, i)
		} else {
			elsewhere = append(elsewhere, i)
		}
	}
	p.turn++
	for _, of := range [][]int{there, elsewhere} {
		if len(of) > 0 && !slices.Contains(due, of[p.turn%len(of)]) {
			due = append(due, of[p.turn%len(of)])
		}
	}
	return due
}

func (p *Paths) ask(ctx context.Context, targets []vip.Target, which []int) map[int]detector.PathWord {
	words := map[int]detector.PathWord{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, i := range which {
		all.Go(func() {
			w := p.Ask(ctx, targets[i])
			mu.Lock()
			defer mu.Unlock()
			words[i] = w
		})
	}
	all.Wait()
	return words
}

// Neighbours are the machines that the kernel sends to for each VIP.
func Neighbours(vips []vip.VIP) []detector.MAC {
	owners := make([]detector.MAC, len(vips))
	for i, v := range vips {
		n, _, err := neighbourOf(v.Address)
		if err == nil && n != nil {
			owners[i] = n.MAC
		}
	}
	return owners
}

// neighbourOf reads the kernel's entry for an address on a link of ours; nil where
// there is none that is used.
func neighbourOf(addr netip.Addr) (*vip.Neighbour, int, error) {
	routes, err := netlink.RouteGet(addr.AsSlice())
	if err != nil {
		return nil, 0, fmt.Errorf("route to %s: %w", addr, err)
	}
	if len(routes) == 0 || routes[0].Gw != nil || routes[0].Via != nil || routes[0].Type == unix.RTN_LOCAL {
		return nil, 0, nil
	}
	family := unix.AF_INET
	if addr.Is6() {
		family = unix.AF_INET6
	}
	all, err := netlink.NeighList(routes[0].LinkIndex, family)
	if err != nil {
		return nil, 0, fmt.Errorf("read the neighbour table: %w", err)
	}
	for _, n := range all {
		if ip, ok := netip.AddrFromSlice(n.IP); !ok || ip.Unmap() != addr || len(n.HardwareAddr) != 6 || n.State&(unix.NUD_FAILED|unix.NUD_INCOMPLETE) != 0 {
			continue
		}
		return &vip.Neighbour{MAC: detector.MAC(n.HardwareAddr), Fixed: n.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0}, routes[0].LinkIndex, nil
	}
	return nil, 0, nil
}
