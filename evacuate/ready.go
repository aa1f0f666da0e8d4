package evacuate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// readyMost is the longest pause that lifeboat:ready may ask for.
const readyMost = 10 * time.Minute

// Readiness is when a member of a group counts as ready, once it is ACTIVE: the time After
// its Port takes a TCP connection from the leader, and its guest agent is there, where these
// are asked for.
type Readiness struct {
	Port  int
	Agent bool
	After time.Duration
}

// ParseReady reads lifeboat:ready: "active"; "port:5432"; "agent"; a time, as "30s" (10 min
// at most); or several, as "port:5432,30s". What is not understood counts as active.
func ParseReady(word string) (r Readiness, err error) {
	for _, part := range strings.Split(word, ",") {
		part = strings.ToLower(strings.TrimSpace(part))
		number, isPort := strings.CutPrefix(part, "port:")
		switch {
		case part == "" || part == "active":
		case part == "agent":
			r.Agent = true
		case isPort:
			if r.Port, err = strconv.Atoi(number); err != nil || r.Port < 1 || r.Port > 65535 {
				return Readiness{}, fmt.Errorf("%q: use port:1 to port:65535", part)
			}
		default:
			d, err := time.ParseDuration(part)
			if err != nil || d < 0 {
				return Readiness{}, fmt.Errorf("%q: use active, port:N, agent, a time as 30s, or several as port:N,30s", part)
			}
			r.After = min(d, readyMost)
		}
	}
	return r, nil
}

// probeKey is when a member's port was first seen to answer in this attempt.
func probeKey(e *Evacuation) string { return fmt.Sprintf("port %s %d", e.Server, e.Attempt) }

// unready says why a member that is up does not count as ready yet, "" if it does. It has
// its port asked while somebody waits for it.
func (c *Core) unready(e *Evacuation) string {
	up := c.since("ready " + string(e.Server) + " " + strconv.Itoa(e.Attempt))
	if e.Port > 0 && c.policy.Order.Ports && e.VMState != nova.VMStopped {
		at, answered := c.first[probeKey(e)]
		if !answered {
			c.probe(e)
			return fmt.Sprintf("port %d of %s does not answer yet", e.Port, e.Name)
		}
		up = c.world.Now.Sub(at)
	}
	if e.Agent && e.VMState != nova.VMStopped {
		if why := c.agentMissing(e); why != "" {
			return why
		}
		up = min(up, c.since(agentKey(e)))
	}
	if up < e.Ready {
		return fmt.Sprintf("%s is given %s", e.Name, e.Ready)
	}
	return ""
}

// agentKey is when a member's guest agent was first seen in this attempt.
func agentKey(e *Evacuation) string { return fmt.Sprintf("agent %s %d", e.Server, e.Attempt) }

// agentMissing says why a member's guest agent is not known to be there, "" if it was: the
// libvirt of its host tells. Who waits for it does so no longer than for a port.
func (c *Core) agentMissing(e *Evacuation) string {
	g := c.world.Guests
	_, seen := c.first[agentKey(e)]
	switch {
	case seen, g.Tells(e.Dest) && slices.Contains(g.Agents[e.Server], e.Dest):
		return ""
	case !g.Tells(e.Dest):
		return fmt.Sprintf("the libvirt of %s does not tell of the guest agent of %s", e.Dest, e.Name)
	}
	return fmt.Sprintf("the guest agent of %s is not there yet", e.Name)
}

func (c *Core) probe(e *Evacuation) {
	for _, r := range c.state.Sorted() {
		if slices.Contains(r.Evacuations, e) {
			a := act(r, StepProbe)
			a.Server, a.Port = e.Server, e.Port
			c.start(r, a)
			return
		}
	}
}

// probed takes the answer of a member's port.
func (c *Core) probed(r *Recovery, o Outcome) {
	if e := r.Evacuation(o.Action.Server); e != nil && o.OK {
		c.sawFirst(probeKey(e))
	}
}

// maxRemarks is how many a plan shows.
const maxRemarks = 20

// Remarks lists what servers' owners, or their flavor's, have said to no effect: words
// that are not understood, or not heard by policy.
func Remarks(servers []nova.Server, p Policy) []string {
	var out []string
	for _, s := range servers {
		say := func(key, format string, args ...any) {
			out = append(out, fmt.Sprintf("%s (%s): %s %s", s.Name, s.ID, key, fmt.Sprintf(format, args...)))
		}
		for what, words := range map[string]map[string]string{"": s.Metadata, " of its flavor": s.FlavorExtra} {
			if w := words[keyPriority]; w != "" {
				if _, ok := priority(w); !ok {
					say(keyPriority, "%q%s is not understood: use high, normal, low, or -1000 to 1000", w, what)
				}
			}
			if w := words[keyReimage]; w != "" {
				if _, ok := truth(w); !ok {
					say(keyReimage, "%q%s is not understood: use true or false", w, what)
				}
			}
		}
		word, said := s.Metadata[keyReady]
		ready, err := ParseReady(word)
		switch {
		case err != nil:
			say(keyReady, "%v; it counts as active", err)
		case said && s.Metadata[keyGroup] == "":
			say(keyReady, "says nothing without %s", keyGroup)
		case ready.Port > 0 && !p.Order.Ports:
			say(keyReady, "%q: no port is asked, policy.order.ports is off", word)
		}
		if g := s.Metadata[keyGroup]; g != "" && g == s.Metadata[keyAfter] {
			say(keyAfter, "names its own group %s: moved without an order", g)
		}
		for _, key := range []string{keyPriority, keyGroup, keyAfter, keyReady} {
			if s.Metadata[key] != "" && !p.Order.Owners {
				say(key, "is not heard: policy.order.owners is off")
			}
		}
	}
	slices.Sort(out)
	return out
}
