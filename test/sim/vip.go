package sim

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
)

// vipConfig is the section of the controllers' files where a scenario has a VIP.
const vipConfig = `vip:
  addresses: [{name: internal, address: 10.3.0.100}]
  targets:
    - {service: nova, addresses: ["10.3.0.100:8774"], touch: http}
    - {service: placement, addresses: ["10.3.0.100:8778"], touch: http}
`

// address is the control plane's: who has it, and what hosts' questions come to.
type address struct {
	mu     sync.Mutex
	owners []string
	since  time.Time
	ways   map[string]detector.PathWord
	ill    map[vip.Kind]int // how many nodes of what is behind it
}

func (a *address) give(owners ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.owners, a.since = owners, time.Now()
}

func (a *address) way(host string, w detector.PathWord) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ways == nil {
		a.ways = map[string]detector.PathWord{}
	}
	a.ways[host] = w
}

// ask is a host's question to a target.
func (a *address) ask(host string) func(context.Context, vip.Target) detector.PathWord {
	return func(context.Context, vip.Target) detector.PathWord {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.owners) == 0 {
			return detector.PathSilent
		}
		return a.ways[host]
	}
}

func macOf(controller string) detector.MAC {
	return detector.MAC{2, 0, 0, 0, 0, controller[len(controller)-1]}
}

// sight is what a controller sees: its own kernel, and who answers for the address.
func (a *address) sight(controller string) func() vip.Sight {
	return func() vip.Sight {
		a.mu.Lock()
		defer a.mu.Unlock()
		had := time.Since(a.since)
		s := vip.AddressSight{Name: "internal", Asks: true}
		for _, o := range a.owners {
			if o == controller {
				s.Holds, s.MAC, s.HeldFor = true, macOf(o), had
			} else {
				s.Answers = append(s.Answers, vip.Answer{MAC: macOf(o), For: had})
			}
		}
		return vip.Sight{MACs: []detector.MAC{macOf(controller)}, Addresses: []netip.Addr{}, VIPs: []vip.AddressSight{s}}
	}
}

// vipSeams adds the address to a process's seams, where the scenario has one.
func (c *Cloud) vipSeams(s app.Seams, name string) app.Seams {
	if c.setup.VIP {
		s.Ask, s.VIP, s.Behind = c.vip.ask(name), c.vip.sight(name), c.vip.behind
	}
	return s
}

// wayWords are what a question may come to.
var wayWords = map[string]detector.PathWord{"silent": detector.PathSilent, "refused": detector.PathRefused, "bad": detector.PathBad, "well": detector.PathOK}

func isWay(n names, o order) error {
	if len(o.args) != 2 {
		return errors.New("which hosts, and how?")
	}
	if _, ok := wayWords[o.args[1]]; !ok {
		return fmt.Errorf("%q is none of silent, refused, bad, well", o.args[1])
	}
	return isHost(n, o.args[0])
}

func breakWay(c *Cloud, o order) (func(), error) {
	picked, err := c.pick(o.args[0])
	for _, host := range picked {
		c.vip.way(host, wayWords[o.args[1]])
	}
	return func() {
		for _, host := range picked {
			c.vip.way(host, detector.PathOK)
		}
	}, err
}

func isOwner(n names, o order) error {
	if len(o.args) != 1 {
		return errors.New("who has it?")
	}
	if o.args[0] == "nobody" {
		return nil
	}
	return isVoter(n, o.args[0])
}

func moveVIP(c *Cloud, o order) (func(), error) {
	var owners []string
	var err error
	if o.args[0] != "nobody" {
		owners, err = c.pick(o.args[0])
	}
	c.vip.mu.Lock()
	before := slices.Clone(c.vip.owners)
	c.vip.mu.Unlock()
	c.vip.give(owners...)
	return func() { c.vip.give(before...) }, err
}

// behindWords are the services that tell of themselves, and their nodes.
var behindWords = map[string]struct {
	kind  vip.Kind
	nodes []string
}{
	"galera":   {vip.GaleraNotPrimary, []string{"ctl1", "ctl2", "ctl3"}},
	"rabbitmq": {vip.BrokerSplit, []string{"ctl1", "ctl2", "ctl3"}},
	"cinder":   {vip.VolumeDown, []string{"ctl1@ceph"}},
}

// behind is what they say.
func (a *address) behind() (all []vip.Check) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range behindWords {
		for i, node := range b.nodes {
			check := vip.Check{Kind: b.kind, Node: node, State: vip.CheckWell}
			if i < a.ill[b.kind] {
				check.State, check.Says = vip.CheckIll, "ill"
			}
			all = append(all, check)
		}
	}
	return all
}

func isBehind(_ names, o order) error {
	if len(o.args) != 2 || behindWords[o.args[0]].kind == "" || !slices.Contains([]string{"one", "all", "well"}, o.args[1]) {
		return errors.New("galera, rabbitmq or cinder; one, all or well?")
	}
	return nil
}

func breakBehind(c *Cloud, o order) (func(), error) {
	b := behindWords[o.args[0]]
	set := func(n int) {
		c.vip.mu.Lock()
		defer c.vip.mu.Unlock()
		if c.vip.ill == nil {
			c.vip.ill = map[vip.Kind]int{}
		}
		c.vip.ill[b.kind] = n
	}
	set(map[string]int{"one": 1, "all": len(b.nodes)}[o.args[1]])
	return func() { set(0) }, nil
}
