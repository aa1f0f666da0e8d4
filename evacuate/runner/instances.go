package runner

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// listGap separates the two lists that must agree.
	listGap = 500 * time.Millisecond
	// lookups is how many servers are read at once, lookMany from how many on one list
	// is tried instead, and lookSlack what clocks may differ by. For each lookChunk of them
	// there is one more readTimeout.
	lookups   = 6
	lookMany  = 3
	lookSlack = time.Minute
	lookChunk = 50
)

func ids(servers []nova.Server) []nova.ServerID {
	out := make([]nova.ServerID, 0, len(servers))
	for _, s := range servers {
		out = append(out, s.ID)
	}
	slices.Sort(out)
	return out
}

func (r *Runner) servers(ctx context.Context, host nova.HostName) ([]nova.Server, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return r.Servers.Servers(ctx, host)
}

// list reads the host's servers until two lists agree: a cell that drops out
// for a moment would leave servers behind in silence. The first may be that from before
// the host died, unless it is empty: nobody may have read one.
func (r *Runner) list(ctx context.Context, a evacuate.Action, o *evacuate.Outcome) error {
	if _, err := proof(a); err != nil {
		return err
	}
	if err := r.stillOff(ctx, a); err != nil {
		return err
	}
	last, comparable := slices.Sorted(slices.Values(a.Servers)), len(a.Servers) > 0
	for range 6 {
		again, err := r.servers(ctx, a.Host)
		if err != nil {
			return fmt.Errorf("list the servers of %s: %w", a.Host, err)
		}
		if comparable && slices.Equal(last, ids(again)) {
			o.Servers = again
			return nil
		}
		last, comparable = ids(again), true
		if err := r.Clock.Sleep(ctx, listGap); err != nil {
			return err
		}
	}
	return fmt.Errorf("list the servers of %s: no two lists agree", a.Host)
}

// proofAge is how long a proof stands without a BMC that confirms it: longer than any
// attempt, shorter than somebody needs to repair a machine.
const proofAge = 15 * time.Minute

// stillOff reads the power once more before anything is evacuated: machines come
// on again by a button, wake-on-LAN or the BMC's restore policy. A BMC that is silent
// takes nothing from a proof, unless something is to begin again that was over, and the
// proof rests on readings of long ago.
func (r *Runner) stillOff(ctx context.Context, a evacuate.Action) error {
	ctx, cancel := context.WithTimeout(ctx, fence.CallTimeout)
	defer cancel()
	switch r.Fencer.Read(ctx, string(a.Host)).Power {
	case fence.On:
		return fmt.Errorf("%w: the BMC of %s reads on again", fence.ErrNoProof, a.Host)
	case fence.Unknown:
		if n := len(a.Proof.Readings); a.Again && n > 0 {
			if age := r.Clock.Now().Sub(a.Proof.Readings[n-1].Ended); age > proofAge {
				return fmt.Errorf("%w: that of %s is of %s ago, and its BMC does not tell now whether it is still off", fence.ErrNoProof, a.Host, age.Round(time.Minute))
			}
		}
	case fence.Off:
	}
	return nil
}

// evacuate sends the one POST of an attempt. Nova does not make it idempotent:
// it relies on the committed intent, the guard, and the proof.
func (r *Runner) evacuate(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome) error {
	p, err := proof(a)
	if err != nil {
		o.Definite = true
		return err
	}
	leave, err := r.lane(ctx, dl)
	if err != nil {
		o.Definite = true
		return err
	}
	defer leave()
	if err := r.alone(ctx, a, o); err != nil {
		o.Definite = true
		return err
	}
	if err := r.guard(a, dl)(ctx); err != nil {
		o.Definite = true // nothing was sent
		return err
	}
	wctx, cancel := bounded(ctx, dl, a.Deadline)
	defer cancel()
	id, err := r.Evacuator.Evacuate(wctx, p, a.Host, a.Boot, a.Server, a.To)
	o.RequestID = id
	r.Log.Info("evacuate sent", "to", a.To.Host, "host", a.Host, "recovery", a.Recovery, "step", a.Step, "server", a.Server, "attempt", a.Attempt, "request_id", id, "ok", err == nil)
	if err != nil {
		f := nova.FaultOf(err)
		o.Definite, o.Cause = f.Definite(), string(f)
		o.Answer.Status, o.Answer.Wait = nova.AnswerOf(err)
		return fmt.Errorf("evacuate %s: %w", a.Server, err)
	}
	return nil
}

// reset puts a server into state error, once: an answer that is lost is resolved by
// reading, and nothing is evacuated before that.
func (r *Runner) reset(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome) error {
	p, err := proof(a)
	if err != nil {
		o.Definite = true // nothing was sent
		return err
	}
	return r.once(ctx, a, dl, o, "reset state", fmt.Sprintf("reset the state of %s", a.Server), func(ctx context.Context) (string, error) {
		return r.Evacuator.Reset(ctx, p, a.Host, a.Boot, a.Server)
	}, "host", a.Host, "recovery", a.Recovery, "step", a.Step, "server", a.Server, "attempt", a.Attempt)
}

// lane waits for its turn on the wire, but no longer than the step lasts.
func (r *Runner) lane(ctx context.Context, dl Deadline) (leave func(), err error) {
	if r.Lanes == nil {
		return func() {}, nil
	}
	left, ok := dl.Left()
	if !ok {
		return nil, fmt.Errorf("%w: the step's deadline has passed or the clocks jumped", errDeposed)
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	select {
	case r.Lanes <- struct{}{}:
		return func() { <-r.Lanes }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("no POST was free to be sent within the step: %w", ctx.Err())
	}
}

func (r *Runner) evacuations(ctx context.Context, host nova.HostName) ([]nova.Migration, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return r.Evacuator.Evacuations(ctx, host)
}

func (r *Runner) moves(ctx context.Context, host nova.HostName) ([]nova.Migration, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return r.Servers.Moves(ctx, host)
}

// observe reads the host's evacuations, its servers, and each of the named
// servers that has left it or whose row has ended.
func (r *Runner) observe(ctx context.Context, a evacuate.Action, o *evacuate.Outcome) error {
	seen := &evacuate.Observation{Source: map[nova.ServerID]nova.Server{}, Moved: map[nova.ServerID]nova.Server{}, Gone: map[nova.ServerID]bool{}}
	var err error
	if seen.Rows, err = r.evacuations(ctx, a.Host); err != nil {
		return fmt.Errorf("list the evacuations of %s: %w", a.Host, err)
	}
	if a.Source {
		here, err := r.servers(ctx, a.Host)
		if err != nil {
			return fmt.Errorf("list the servers of %s: %w", a.Host, err)
		}
		for _, s := range here {
			seen.Source[s.ID] = s
		}
		seen.Listed = true
	}
	if a.Ends {
		if seen.Moves, err = r.moves(ctx, a.Host); err != nil {
			return fmt.Errorf("list the migrations from %s: %w", a.Host, err)
		}
		seen.Ends = true
	}
	if a.Again {
		if err := r.stillOff(ctx, a); err != nil {
			seen.Power = err.Error()
		}
	}
	if a.Claims {
		r.claims(ctx, a.Host, seen)
	}
	var look []nova.ServerID
	for _, id := range a.Servers {
		if _, still := seen.Source[id]; a.Deep || (a.Source && !still) || ended(seen.Rows, id) {
			look = append(look, id)
		}
	}
	if err := r.lookAt(ctx, look, touched(seen.Rows, look), seen); err != nil {
		return err
	}
	o.Seen = seen
	return nil
}

// claims reads whom Placement gives room on the host; that it does not tell is no
// reason to lose what Nova says.
func (r *Runner) claims(ctx context.Context, host nova.HostName, seen *evacuate.Observation) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	ids, err := r.Services.Claims(ctx, host)
	if err != nil {
		seen.ClaimsErr = err.Error()
		return
	}
	seen.Claims = map[nova.ServerID]bool{}
	for _, id := range ids {
		seen.Claims[id] = true
	}
}

// ended says that the newest row of a server is terminal.
func ended(rows []nova.Migration, id nova.ServerID) bool {
	last := nova.NewestOf(rows, id)
	return last.ID != 0 && last.Status.Terminal()
}

// touched is when the first of these servers got its newest row: each has changed since.
// Who has none is not looked for.
func touched(rows []nova.Migration, look []nova.ServerID) (since time.Time) {
	for _, id := range look {
		if at := nova.NewestOf(rows, id).CreatedAt; !at.IsZero() && (since.IsZero() || at.Before(since)) {
			since = at
		}
	}
	return since
}

// lookAt reads these servers. Many that changed since a known time are read in one list:
// to Nova that costs what two or three of them do one by one, and it is busy then.
func (r *Runner) lookAt(ctx context.Context, look []nova.ServerID, since time.Time, seen *evacuate.Observation) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout*time.Duration(1+len(look)/lookChunk))
	defer cancel()
	if len(look) >= lookMany && !since.IsZero() {
		changed, err := r.Servers.ServersSince(ctx, since.Add(-lookSlack))
		if err != nil {
			r.Log.Debug("servers are read one by one", "reason", err)
		}
		for _, s := range changed {
			if slices.Contains(look, s.ID) {
				seen.Moved[s.ID] = s
			}
		}
	}
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		first error
		slots = make(chan struct{}, lookups)
	)
	// Before any of them writes there.
	look = slices.DeleteFunc(slices.Clone(look), func(id nova.ServerID) bool { _, read := seen.Moved[id]; return read })
	for _, id := range look {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			s, err := r.Servers.Server(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				seen.Moved[id] = s
			case nova.FaultOf(err) == nova.FaultNotFound:
				seen.Gone[id] = true
			case first == nil:
				first = fmt.Errorf("read server %s: %w", id, err)
			}
		})
	}
	wg.Wait()
	return first
}

// probe asks a port of an instance that others wait for.
func (r *Runner) probe(ctx context.Context, a evacuate.Action) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	s, err := r.Servers.Server(ctx, a.Server)
	if err != nil {
		return fmt.Errorf("read server %s: %w", a.Server, err)
	}
	if r.Ports == nil {
		return fmt.Errorf("no port is asked here")
	}
	return r.Ports.Connect(ctx, s.Addresses, a.Port)
}

// resolve is one quiet read of rule 3: rows, server and action log at once.
func (r *Runner) resolve(ctx context.Context, a evacuate.Action, o *evacuate.Outcome) error {
	b := a
	b.Servers, b.Source = []nova.ServerID{a.Server}, true
	if err := r.observe(ctx, b, o); err != nil {
		return err
	}
	if s, ok := o.Seen.Source[a.Server]; ok {
		o.Servers = []nova.Server{s}
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	actions, err := r.Evacuator.Actions(ctx, a.Server)
	if err != nil {
		return fmt.Errorf("read the actions of %s: %w", a.Server, err)
	}
	for _, act := range actions {
		if act.Action == "evacuate" && act.StartedAt.After(a.Since.Add(-resolveSlack)) {
			o.Actions++
		}
	}
	return nil
}

// resolveSlack allows for Nova's clock being behind ours; an action counted
// wrongly only makes us look again.
const resolveSlack = 3 * time.Second
