package evacuate

import (
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Score says whether what shadow would have done was right.
type Score string

// Scores. Wrong is a living host that would have been fenced.
const (
	ScorePending Score = ""
	ScoreRight   Score = "right"
	ScoreWrong   Score = "wrong"
	ScoreUnknown Score = "unknown"
)

// Scores lists those that are final.
var Scores = [...]Score{ScoreRight, ScoreWrong, ScoreUnknown}

const (
	// keepShadow is how many decisions the state remembers.
	keepShadow = 300
	// shadowSettle is how long a host must stay silent after its BMC read off
	// until that is believed.
	shadowSettle = 10 * time.Minute
)

// ShadowDecision is what would have been done in the mode shadow, and what came
// of the host.
type ShadowDecision struct {
	ID      string        `json:"id,omitempty"` // "s1", "s2", ...
	Host    nova.HostName `json:"host"`
	Boot    string        `json:"boot"`
	At      time.Time     `json:"at"`
	Verdict string        `json:"verdict"`
	// Plan holds evidence, gates, methods and instances as they were.
	Plan *Proposal `json:"plan,omitempty"`
	// FoundOff is when its BMC was first seen to read off.
	FoundOff time.Time `json:"found_off,omitzero"`

	Score  Score     `json:"score"`
	Why    string    `json:"why,omitempty"`
	Scored time.Time `json:"scored,omitzero"`
	By     string    `json:"by,omitempty"`
}

// wouldHave records that shadow would have opened a recovery: once until the
// host is heard again.
func (c *Core) wouldHave(host nova.HostName, answers []Answer) {
	for _, a := range answers {
		if !a.Pass && a.Gate != GateArmed && a.Gate != GateConcurrency {
			return
		}
	}
	heard := c.world.Heard[host].At
	for _, d := range c.state.Shadow {
		if d.Host == host && (d.Score == ScorePending || !heard.After(d.At)) {
			return
		}
	}
	p := propose(host, c.state, &c.world, c.policy, answers)
	p.Why, p.Expires = "mode is "+c.mode(host).String(), time.Time{}
	c.commit(Entry{Kind: KindShadow, Host: host, Shadow: &ShadowDecision{Host: host, Boot: p.Boot, At: c.world.Now,
		Verdict: fmt.Sprintf("%s: %s", p.Verdict, p.Detail), Plan: p}, Text: p.Line()})
}

// scoreShadow looks what has become of the hosts that would have been fenced.
func (c *Core) scoreShadow() {
	for _, d := range c.state.Shadow {
		if d.Score != ScorePending {
			continue
		}
		next := *d
		next.Plan = nil
		if d.FoundOff.IsZero() && c.readsOff(d.Host, d.At) {
			next.FoundOff = c.world.Now
		}
		next.Score, next.Why = c.score(d)
		if next.Score == d.Score && next.FoundOff.Equal(d.FoundOff) {
			continue
		}
		e := Entry{Kind: KindShadowScore, Host: d.Host, Shadow: &next}
		if next.Score != ScorePending {
			next.Scored, next.By = c.world.Now, c.world.Leader.ID
		}
		c.commit(e)
	}
}

// readsOff says that the newest reading of a host's power is off and was made
// no earlier than just before the decision.
func (c *Core) readsOff(host nova.HostName, decided time.Time) bool {
	v := c.world.Verdicts[host].View
	return len(v.Power) > 0 && v.Power[0].Power == string(fence.Off) && v.At.Add(-v.Power[0].Age).After(decided.Add(-c.policy.EvidenceFresh))
}

func (c *Core) score(d *ShadowDecision) (Score, string) {
	heard := c.world.Heard[d.Host]
	since := c.world.Now.Sub(d.At)
	h := c.state.Hosts[d.Host]
	// A host that would have been fenced for a network it lost is heard all along.
	isolated := d.Plan != nil && d.Plan.Verdict == detector.Isolated
	switch again := heard.At.After(d.At.Add(proofSlack)); {
	case again && isolated && heard.Boot == d.Boot && since < c.policy.ShadowWindow:
		return ScorePending, ""
	case again && isolated && heard.Boot == d.Boot:
		return ScoreUnknown, "it was alive and cut off, as the policy's matrix has such hosts fenced: whether that was right is for you to say"
	case again && heard.Boot == d.Boot:
		return ScoreWrong, fmt.Sprintf("heard again %s later with the same boot id: a living host would have been fenced", round(heard.At.Sub(d.At)))
	case again:
		return ScoreRight, "came back with a new boot id"
	case h == nil:
		return ScoreUnknown, "the host was removed"
	case c.state.Open(d.Host) != nil:
		return ScoreUnknown, "a recovery was opened for it: what it was by itself can't be told any more"
	case !d.FoundOff.IsZero() && since >= min(shadowSettle, c.policy.ShadowWindow):
		return ScoreRight, fmt.Sprintf("its BMC read off, and it stayed silent for %s", round(since))
	case since < c.policy.ShadowWindow:
		return ScorePending, ""
	}
	return ScoreUnknown, fmt.Sprintf("silent for %s, and nothing found it dead%s", round(since), because(lastPower(c.world.Verdicts[d.Host])))
}

func lastPower(v detector.Verdict) string {
	if len(v.View.Power) == 0 {
		return "its power was not read"
	}
	p := v.View.Power[0]
	return fmt.Sprintf("its power last read %s %s", p.Power, p.Cause)
}

func (s *State) applyShadow(e Entry) error {
	if e.Kind == KindShadow {
		d := e.Shadow
		s.ShadowSerial++
		d.ID, d.Score = fmt.Sprintf("s%d", s.ShadowSerial), ScorePending
		s.Shadow = append(s.Shadow, d)
		if n := len(s.Shadow); n > keepShadow {
			i := max(slices.IndexFunc(s.Shadow, func(d *ShadowDecision) bool { return d.Score != ScorePending }), 0)
			s.Shadow = slices.Delete(s.Shadow, i, i+1)
		}
		s.journal(e, "shadow %s: would have begun: %s", d.ID, e.Text)
		return nil
	}
	i := slices.IndexFunc(s.Shadow, func(d *ShadowDecision) bool { return d.ID == e.Shadow.ID })
	if i < 0 {
		return fmt.Errorf("there is no shadow decision %q", e.Shadow.ID)
	}
	d := s.Shadow[i]
	switch {
	case d.Score != ScorePending && d.Score != ScoreUnknown:
		return fmt.Errorf("shadow decision %s is scored %s already", d.ID, d.Score)
	case e.Shadow.Score == ScorePending:
		d.FoundOff = e.Shadow.FoundOff
		return nil
	case !slices.Contains(Scores[:], e.Shadow.Score):
		return fmt.Errorf("no score %q: use right, wrong or unknown", e.Shadow.Score)
	}
	if !e.Shadow.FoundOff.IsZero() {
		d.FoundOff = e.Shadow.FoundOff
	}
	d.Score, d.Why, d.Scored, d.By = e.Shadow.Score, e.Shadow.Why, e.At, e.By
	if s.ShadowScores == nil {
		s.ShadowScores = map[Score]int{}
	}
	s.ShadowScores[d.Score]++
	s.journal(e, "shadow %s of %s was %s: %s", d.ID, d.Host, d.Score, d.Why)
	return nil
}

// ShadowSum counts the decisions that are remembered by their present score.
func (s *State) ShadowSum() map[Score]int {
	n := map[Score]int{}
	for _, d := range s.Shadow {
		n[d.Score]++
	}
	return n
}
