package app

import (
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/clock"
)

// TestSkew: a clock is wrong where most others say so, from the instant of a step on.
func TestSkew(t *testing.T) {
	zero := time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		others []time.Duration // ahead of ours, as told
		age    time.Duration
		wrong  bool
	}{
		{"nobody tells", nil, 0, false},
		{"all agree", []time.Duration{0, time.Second}, time.Second, false},
		{"a slow network", []time.Duration{-2 * time.Second, -2 * time.Second}, 0, false},
		{"both ahead", []time.Duration{6 * time.Second, 6 * time.Second}, 0, true},
		{"both behind", []time.Duration{-time.Hour, -time.Hour}, 0, true},
		{"one of two: it is the odd one", []time.Duration{time.Minute, 0}, 0, false},
		{"one of four", []time.Duration{time.Minute, 0, 0, 0}, 0, false},
		{"the only one that reports", []time.Duration{time.Minute}, 0, true},
		{"told long ago", []time.Duration{time.Minute, time.Minute}, 6 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			clk := clock.NewFake(zero)
			s := newSkews(clk.Now)
			for i, ahead := range c.others {
				s.tell(string(rune('a'+i)), zero.Add(ahead))
			}
			clk.Advance(c.age)
			if text, _, _ := s.wrong(); (text != "") != c.wrong {
				t.Errorf("wrong: %q, want %t", text, c.wrong)
			}
		})
	}
}

// TestTogether: leadership goes to those who agree; where nobody does it stays.
func TestTogether(t *testing.T) {
	for _, c := range []struct {
		name string
		by   []time.Duration
		want int
	}{
		{"nobody differs", nil, 0},
		{"the only one that reports", []time.Duration{time.Hour}, 1},
		{"both alike", []time.Duration{time.Hour, time.Hour + time.Second}, 2},
		{"each by another", []time.Duration{time.Hour, -time.Hour}, 1},
		{"three of four alike", []time.Duration{time.Hour, -time.Hour, time.Hour, time.Hour}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := together(c.by); got != c.want {
				t.Errorf("%d agree, want %d", got, c.want)
			}
		})
	}
}
