package fence_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// slow is a BMC that holds the answer to off until the machine is off.
type slow struct {
	bmc
	takes  time.Duration
	dead   time.Time // when the first off is done
	always bool      // slow even where nothing is to be done
}

func (s *slow) Off(ctx context.Context) error {
	s.events = append(s.events, "OFF")
	now := time.Now()
	if s.dead.IsZero() {
		s.dead = now.Add(s.takes)
	}
	wait := wire
	if s.always {
		wait = s.takes
	} else if left := s.dead.Sub(now); left > wait {
		wait = left
	}
	select {
	case <-ctx.Done():
		return &fence.Error{Method: s.name, Doing: "power off", Cause: fence.CauseUnreachable, Err: ctx.Err()}
	case <-time.After(wait):
		return nil
	}
}

func (s *slow) Power(context.Context) fence.Reading {
	r := fence.Reading{Method: s.name, Power: fence.On, Began: time.Now()}
	if !s.dead.IsZero() && !time.Now().Before(s.dead) {
		r.Power = fence.Off
	}
	time.Sleep(wire)
	r.Ended = time.Now()
	return r
}

// An off whose answer never came is sent again, and the second is answered at
// once, for the machine is off. Until one is accepted, off readings prove
// nothing: a BMC that restarts may say off before it has looked.
func TestAnswerToOffIsLate(t *testing.T) {
	for _, test := range []struct {
		name  string
		bmc   slow
		proof bool
		most  time.Duration
	}{
		{"3 s", slow{takes: 3 * time.Second}, true, 5 * time.Second},
		{"just over a call", slow{takes: fence.CommandTimeout + time.Second}, true, 16 * time.Second},
		{"a dozen seconds", slow{takes: 11 * time.Second}, true, 13 * time.Second},
		{"no answer ever", slow{takes: 13 * time.Second, always: true}, false, 21 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := test.bmc
				s.name = "bmc"
				began := time.Now()
				_, attempts, err := fence.Chain{Links: []fence.Link{{Method: &s}}, Clock: clock{}}.Off(t.Context(), "host", "boot", allow)
				if (err == nil) != test.proof || (err != nil && !errors.Is(err, fence.ErrNoProof)) {
					t.Fatalf("%v, %+v", err, attempts)
				}
				if took := time.Since(began); took > test.most {
					t.Errorf("took %v, want at most %v", took, test.most)
				}
			})
		})
	}
}
