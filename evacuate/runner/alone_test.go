package runner_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// reads counts the lists of evacuations that Nova was asked for.
func (s *stage) reads() (n int) {
	for _, r := range s.cloud.Requests() {
		if strings.Contains(r.Path, "os-migrations") {
			n++
		}
	}
	return n
}

// A POST that has waited is not sent on an old look: somebody else may have evacuated the
// server meanwhile. A young look costs no further read.
func TestEvacuateAlone(t *testing.T) {
	for name, c := range map[string]struct {
		age     time.Duration // of the look on which it was promised
		foreign bool          // somebody else has evacuated it
		known   bool          // and that row was in the look
		ill     bool          // Nova does not list rows
		sent    bool
		cause   string
		reads   int
	}{
		"a young look":               {age: time.Second, sent: true},
		"an old look":                {age: 3 * time.Second, sent: true, reads: 1},
		"somebody else since":        {age: 3 * time.Second, foreign: true, cause: evacuate.CauseForeign, reads: 1},
		"a row that was known":       {age: 3 * time.Second, foreign: true, known: true, sent: true, reads: 1},
		"an old look, and none anew": {age: 3 * time.Second, ill: true, reads: 2},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.evacuable()
				posts := 0
				if c.foreign {
					s.do(s.action(evacuate.StepEvacuate, s.promised(0), func(a *evacuate.Action) { a.Looked = time.Now() }))
					posts++
				}
				a := s.action(evacuate.StepEvacuate, s.promised(0), func(a *evacuate.Action) { a.Looked = time.Now() })
				if c.known {
					a.AfterRow = 1
				}
				time.Sleep(c.age)
				if c.ill {
					s.cloud.Inject(novatest.Fault{Match: "os-migrations", Reset: true})
				}
				o := s.do(a)
				if c.sent {
					posts++
				}
				if o.OK != c.sent || !c.sent && !o.Definite || o.Cause != c.cause && c.cause != "" || s.posts() != posts || s.reads() != c.reads {
					t.Errorf("sent %t, definite %t, cause %q, %d POSTs, %d reads: %s", o.OK, o.Definite, o.Cause, s.posts(), s.reads(), o.Detail)
				}
			})
		})
	}
}

// Who comes later takes the read of another lane.
func TestLanesShareARead(t *testing.T) {
	onStage(t, func(s *stage) {
		s.evacuable()
		s.runner.Lanes = make(chan struct{}, 2)
		var actions []evacuate.Action
		for i := range 3 {
			actions = append(actions, s.action(evacuate.StepEvacuate, s.promised(i), func(a *evacuate.Action) { a.Looked = time.Now() }))
		}
		time.Sleep(3 * time.Second)
		var wg sync.WaitGroup
		for _, a := range actions {
			wg.Go(func() { s.runner.Do(s.Context(), a) })
		}
		wg.Wait()
		if s.posts() != 3 || s.reads() > 2 {
			t.Errorf("%d POSTs, %d reads", s.posts(), s.reads())
		}
	})
}
