package detector

import (
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// votesOn lists the ring's opinions on host. An ill observer is listed and
// does not vote: its health score is above the ring's median + 2, its own view
// has collapsed, or it has just resumed from a stall.
func (t *Table) votesOn(host nova.HostName, known int, now time.Time) []Vote {
	median := t.medianScore(now)
	var votes []Vote
	for o, v := range t.voters {
		if o == Observer(host) {
			continue
		}
		votes = append(votes, Vote{
			Observer: o, Domain: v.domain, Dead: slices.Contains(v.ring.Dead, host),
			Age: now.Sub(v.at), Ill: illness(v.ring, median, known),
		})
	}
	slices.SortFunc(votes, func(a, b Vote) int { return cmpString(string(a.Observer), string(b.Observer)) })
	return votes
}

func illness(r RingView, median, known int) string {
	switch {
	case r.Stalled:
		return "just resumed from a stall"
	case r.Score > median+2:
		return fmt.Sprintf("health score %d, the ring's median is %d", r.Score, median)
	case 2*r.Alive < max(r.Known, known):
		return fmt.Sprintf("sees only %d of %d members", r.Alive, max(r.Known, known))
	}
	return ""
}

func (t *Table) medianScore(now time.Time) int {
	var scores []int
	for _, v := range t.voters {
		if now.Sub(v.at) <= time.Duration(t.policy.Rounds)*t.policy.Interval {
			scores = append(scores, v.ring.Score)
		}
	}
	if len(scores) == 0 {
		return 0
	}
	slices.Sort(scores)
	return scores[(len(scores)-1)/2]
}
