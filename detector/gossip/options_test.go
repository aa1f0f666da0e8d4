package gossip_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/lifeboat-ha/lifeboat/detector/gossip"
)

func TestOptions(t *testing.T) {
	n := &node{r: &ring{}, i: 10, name: "compute-1", at: netip.MustParseAddrPort("10.0.0.1:7946")}
	for name, change := range map[string]func(*gossip.Options){
		"no name":             func(o *gossip.Options) { o.Name = "" },
		"host as controller":  func(o *gossip.Options) { o.Name = "controller/c1" },
		"controller as host":  func(o *gossip.Options) { o.Meta.Role = gossip.RoleController },
		"no key":              func(o *gossip.Options) { o.Keys = nil },
		"short key":           func(o *gossip.Options) { o.Keys = [][]byte{[]byte("secret")} },
		"no label":            func(o *gossip.Options) { o.Label = "" },
		"profile":             func(o *gossip.Options) { o.Profile = "wan" },
		"no port":             func(o *gossip.Options) { o.Bind = netip.MustParseAddrPort("10.0.0.1:0") },
		"nothing to announce": func(o *gossip.Options) { o.Bind = netip.MustParseAddrPort("0.0.0.0:7946") },
		"no boot":             func(o *gossip.Options) { o.Meta.Boot = "" },
		"long domain":         func(o *gossip.Options) { o.Meta.Domain = strings.Repeat("x", 97) },
		"no known":            func(o *gossip.Options) { o.Known = nil },
	} {
		o := n.options()
		change(&o)
		err := o.Validate()
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the key: %v", name, err)
		}
	}
	o := n.options()
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
}
