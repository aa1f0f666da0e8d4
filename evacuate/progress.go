package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Progress is how far the evacuations of a recovery have come, and how long the rest will
// take at the pace that was seen.
type Progress struct {
	Of       int `json:"of"` // without those that stay
	Done     int `json:"done"`
	InFlight int `json:"in_flight"`
	// Waiting are not sent before something else happens: room, an answer, another group.
	Waiting int `json:"waiting,omitempty"`
	// Left is for those that do not wait; nil: no pace was seen yet.
	Left *time.Duration `json:"left,omitempty"`
}

// paceOf is how many of the last ends a pace is taken from.
const paceOf = 20

// ProgressAt sums a recovery up; nil where nothing is under way. Its times are of the
// ledger, so that every controller sees the same.
func (r *Recovery) ProgressAt(now time.Time) *Progress {
	if r.Status != StatusOpen || !r.Done(StepList) {
		return nil
	}
	p := &Progress{}
	var ends []time.Time
	var took time.Duration // of all that are done
	planned := 0
	for _, e := range r.Evacuations {
		if e.State == EvacSkipped {
			continue
		}
		p.Of++
		switch {
		case e.State == EvacDone:
			p.Done++
			if d := e.Ended.Sub(e.Intent); e.Attempt > 0 && d > 0 {
				ends, took = append(ends, e.Ended), took+d
			}
		case e.State == EvacIntent || e.State == EvacFollowing || e.State == EvacReset:
			p.InFlight++
		case e.Waits != "" || e.State == EvacHeld || e.State == EvacFailed:
			p.Waiting++
		default:
			planned++
		}
	}
	if p.Of == 0 {
		return nil
	}
	if rest := p.InFlight + planned; rest > 0 && len(ends) > 0 {
		left := pace(ends, took/time.Duration(len(ends)), p.InFlight, rest, now)
		p.Left = &left
	}
	return p
}

// pace is how long rest will take: by the gaps between the last ends, or, as long as
// there are none, in rounds of as many as are in flight. each is how long one took.
func pace(ends []time.Time, each time.Duration, inFlight, rest int, now time.Time) time.Duration {
	slices.SortFunc(ends, func(a, b time.Time) int { return a.Compare(b) })
	ends = ends[max(0, len(ends)-paceOf):]
	first, last := ends[0], ends[len(ends)-1]
	var left time.Duration
	if span := last.Sub(first); len(ends) > 2 && span > 0 {
		left = span / time.Duration(len(ends)-1) * time.Duration(rest)
	} else {
		rounds := (rest + max(inFlight, 1) - 1) / max(inFlight, 1)
		left = each * time.Duration(rounds)
	}
	// What has passed since the last end was part of it.
	return max(left-max(now.Sub(last), 0), time.Second).Round(time.Second)
}

// String is for people.
func (p *Progress) String() string {
	parts := []string{fmt.Sprintf("%d of %d instances moved", p.Done, p.Of)}
	if p.InFlight > 0 {
		parts = append(parts, fmt.Sprintf("%d on their way", p.InFlight))
	}
	if p.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d wait", p.Waiting))
	}
	text := strings.Join(parts, ", ")
	if p.Left != nil {
		text += fmt.Sprintf("; about %s more", *p.Left)
		if p.Waiting > 0 {
			text += ", without those that wait"
		}
	}
	return text
}
