package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Suffices says what a kind of proof is worth. Readings of off by a method that
// commanded it always suffice alone; a time-out never does.
type Suffices string

// Worths. The zero value is alone.
const (
	Alone    Suffices = "alone"
	Together Suffices = "together" // only with another: a person's word, the watchdog's expiry, the storage taken away
	Never    Suffices = "never"
)

// Proofs is which proofs an operator takes where no method reads off.
type Proofs struct {
	Word     Suffices `json:"word,omitempty"`
	Watchdog Suffices `json:"watchdog,omitempty"`
	// Storage is whether instances wait until their host's storage is taken away, where
	// a program does that.
	Storage StorageDemand `json:"storage,omitempty"`
}

// StorageDemand says what a program that fails to take a host's storage away means.
type StorageDemand string

// Demands. The zero value is required.
const (
	StorageRequired StorageDemand = "required"
	StorageOptional StorageDemand = "optional"
)

// expired says that the watchdog of a host has surely reset it, as far as it goes.
func (c *Core) expired(r *Recovery) (fence.Proof, bool) {
	sight, ok := c.world.Watchdogs[r.Host]
	if !ok || sight.Expiry == nil || !r.unreachable() || c.answers(r) {
		return fence.Proof{}, false
	}
	proof, err := fence.Expire(string(r.Host), r.Boot, *sight.Expiry)
	return proof, err == nil
}

// darkWithin is how far apart hosts that lost one supply fall silent: the interval of
// heartbeats, its jitter, and what capacitors differ in.
const darkWithin = 3 * time.Second

// together recognises the loss of power of host and BMC together, and of what hangs on
// the same feed.
func (c *Core) together(r *Recovery) string {
	v := c.world.Verdicts[r.Host]
	if v.View.Domain == "" {
		return ""
	}
	text := "host and BMC are both silent: both may have lost power, which no time-out proves"
	for _, d := range c.feeds(r.Host) {
		neighbours, dark, same := 0, 0, 0
		for host, o := range c.world.Verdicts {
			if host == r.Host || !slices.Contains(c.feeds(host), d) {
				continue
			}
			neighbours++
			if p := o.View.Power; o.Silent > 0 && !alive(o.State) && len(p) > 0 && p[0].Cause == string(fence.CauseUnreachable) {
				dark++
				if (o.Silent - v.Silent).Abs() <= darkWithin {
					same++
				}
			}
		}
		if dark > 0 {
			text += fmt.Sprintf("; so are %d of its %d neighbours in %s", dark, neighbours, d.named())
			if same == dark {
				text += ", since the same seconds"
			}
		}
	}
	return text
}

// feeds are the domains that a host may lose its power with.
func (c *Core) feeds(host nova.HostName) []Domain {
	out := slices.DeleteFunc(slices.Clone(c.world.Domains[host]), func(d Domain) bool { return d.Kind == DomainZone || d.Kind == DomainAggregate })
	votes := Domain{DomainVotes, string(c.world.Verdicts[host].View.Domain)}
	if votes.Name != "" && !slices.Contains(out, votes) {
		out = append(out, votes)
	}
	return out
}

// named is a domain for people: of the one that votes are counted by the name alone.
func (d Domain) named() string {
	if d.Kind == DomainVotes {
		return d.Name
	}
	return d.String()
}

// releases says what would let a recovery go on whose host's BMC cannot be reached,
// and what it looks like: power lost by both is no proof, whatever it looks like.
func (c *Core) releases(r *Recovery) string {
	sight, p := c.world.Watchdogs[r.Host], c.policy.Proofs
	word := "a person who has looked: `lifeboat confirm-dead " + string(r.Host) + "`"
	if p.Word == Never {
		word = ""
	}
	var parts []string
	if s := c.together(r); s != "" {
		parts = append(parts, s)
	}
	by := func(what ...string) string {
		what = slices.DeleteFunc(what, func(s string) bool { return s == "" })
		n := len(what) - 1
		return "what releases it is " + strings.Join(what[:n], ", ") + ", or " + what[n]
	}
	switch {
	case sight.Expiry != nil && p.Watchdog != Never:
		e := sight.Expiry
		text := fmt.Sprintf("its own watchdog has surely reset it by %s", e.Last().Add(e.Bound()).UTC().Format(time.TimeOnly))
		if 2*e.Holders <= e.Ring {
			text += fmt.Sprintf(", if more than half of the %d hosts hold their own lease until then: %d do", e.Ring, e.Holders)
		}
		if p.Watchdog == Together && r.StorageGone() {
			text += ", and counts, for its storage is taken away"
		} else if p.Watchdog == Together {
			text += "; that is a proof only together with the word of " + word
		}
		parts = append(parts, text)
	case p.Word == Together && !r.StorageGone():
		storage := ""
		if c.world.Fencing[r.Host].Storage != "" {
			storage = word + " once its storage is taken away"
		}
		parts = append(parts, lack(sight)+", and a person's word alone is no proof here (policy.proofs): "+by("an answer of its BMC", "a PDU as second method", storage))
	default:
		parts = append(parts, lack(sight)+": "+by("an answer of its BMC", "a PDU as second method", word))
	}
	return strings.Join(parts, "; ")
}

func lack(sight WatchdogSight) string {
	if sight.Lack == "" {
		return "it has no watchdog lease"
	}
	return sight.Lack
}
