package evacuate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Protect says which instances are recovered. The zero value is ProtectAll.
type Protect string

// Ways to choose. Only all does not look at what is said of an instance.
const (
	ProtectAll    Protect = "all"
	ProtectOptOut Protect = "opt-out" // all but those that say no
	ProtectOptIn  Protect = "opt-in"  // those that say yes
)

// Keys that protect an instance, or say that it is not to be recovered: ours,
// Masakari's [host_failure]ha_enabled_instance_metadata_key, and Red Hat's
// Instance HA's EVACUABLE_TAG by default.
const (
	keyProtected = "lifeboat:protected"
	keyMasakari  = "HA_Enabled"
	keyRedHat    = "evacuable"
)

// truth reads a word as Nova's operators write it; ok is false for anything else.
func truth(word string) (yes, ok bool) {
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "true", "yes", "on", "1":
		return true, true
	case "false", "no", "off", "0":
		return false, true
	}
	return false, false
}

// protectKeys are those that are read.
func (p Policy) protectKeys() []string {
	return []string{keyProtected, cmp.Or(p.ProtectKey, keyMasakari), keyRedHat}
}

// said is what one level says: our key first; where the others contradict each
// other, no wins.
func (p Policy) said(words map[string]string) (yes, ok bool, key string) {
	for _, k := range p.protectKeys() {
		y, understood := truth(words[k])
		switch {
		case !understood:
		case k == keyProtected:
			return y, true, k + "=" + words[k]
		case !ok || yes && !y:
			yes, ok, key = y, true, k+"="+words[k]
		}
	}
	return yes, ok, key
}

// Chooses says that not every instance is recovered.
func (p Policy) Chooses() bool { return p.Protect != "" && p.Protect != ProtectAll }

// Protected says whether a server is to be recovered, and who says so: itself,
// what it was made from (size, then image), its host's aggregates, the policy;
// the nearest that says anything wins. What cannot be read is in doubt, and in doubt
// an instance is saved.
func (p Policy) Protected(s nova.Server, aggregates []nova.Aggregate) (yes bool, why string) {
	if !p.Chooses() {
		return true, ""
	}
	for _, level := range []struct {
		name  string
		words map[string]string
	}{{"it", s.Metadata}, {"its flavor", s.FlavorExtra}, {"its image", s.ImageProperties}} {
		if yes, ok, key := p.said(level.words); ok {
			return yes, level.name + " says " + key
		}
		if level.name == "its image" && s.Image != "" && s.ImageProperties == nil {
			return true, "its image could not be read"
		}
	}
	if yes, ok, key := p.said(p.ofAggregates(s.Host, aggregates)); ok {
		return yes, "its host's aggregate says " + key
	}
	return p.Protect == ProtectOptOut, "nothing says anything, and policy.protect is " + string(p.Protect)
}

// protection is Protected with the aggregates as they are known.
func (p Policy) protection(w *World) func(nova.Server) (bool, string) {
	return func(s nova.Server) (bool, string) { return p.Protected(s, w.Nova.Aggregates) }
}

// ofAggregates joins what the aggregates of a host say; where they contradict
// each other, no wins.
func (p Policy) ofAggregates(host nova.HostName, aggregates []nova.Aggregate) map[string]string {
	words := map[string]string{}
	for _, a := range aggregates {
		if !slices.Contains(a.Hosts, host) {
			continue
		}
		for _, k := range p.protectKeys() {
			yes, ok := truth(a.Metadata[k])
			if before, known := truth(words[k]); ok && (!known || before && !yes) {
				words[k] = a.Metadata[k]
			}
		}
	}
	return words
}

// askProtected: a host without anything to save is not fenced.
func askProtected(q question) (Standing, string) {
	if _, ok := q.world.Nova.Services[q.host]; !ok {
		return Held, "Nova knows no nova-compute of this name"
	}
	if coming := q.state.inbound(q.host); len(coming) > 0 {
		// They wait for the proof that nothing of them runs here.
		return Met, fmt.Sprintf("%d evacuations were on their way to it: %s", len(coming), strings.Join(coming[:min(len(coming), 5)], ", "))
	}
	servers, listed := q.world.Servers[q.host]
	if why := q.stuckOnDisk(servers); why != "" {
		return Held, why
	}
	if !q.policy.Chooses() {
		n := len(servers)
		if h := q.state.Hosts[q.host]; n == 0 && h != nil {
			n = len(h.Instances)
		}
		if n == 0 {
			return Held, "no instances on it: nothing to save"
		}
		return NotConfigured, fmt.Sprintf("%d instances on it; policy.protect leaves none out", n)
	}
	if why := q.world.Nova.AggregatesOld(q.world.Now); why != "" {
		return Held, why
	}
	if !listed {
		return Held, "its instances have not been listed yet: it is not known whether one is protected"
	}
	n := 0
	for _, s := range servers {
		if yes, _ := q.policy.Protected(s, q.world.Nova.Aggregates); yes {
			n++
		}
	}
	if n == 0 {
		return Held, fmt.Sprintf("none of its %d instances is protected (policy.protect is %s): nothing to save", len(servers), q.policy.Protect)
	}
	return Met, fmt.Sprintf("%d of its %d instances are protected", n, len(servers))
}

// stuckOnDisk says that no instance of the host can be moved, for their disks are
// on the host itself: to fence it would end them for nothing.
func (q question) stuckOnDisk(servers []nova.Server) string {
	storage, declared := q.world.Storage[q.host]
	if len(servers) == 0 || !declared || storage == StorageShared {
		return ""
	}
	for _, s := range servers {
		if diskMoves(s, storage) {
			return ""
		}
	}
	return fmt.Sprintf("none of its %d instances boots from a volume, and the host's storage is declared %q: nothing that could be moved", len(servers), storage)
}
