package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Migrator moves running servers between hosts that are well.
type Migrator interface {
	LiveMigrate(ctx context.Context, id nova.ServerID, to nova.HostName) (requestID string, err error)
}

// trace reads one server, the evacuations of its former host, and what else has moved it
// from where it is.
func (r *Runner) trace(ctx context.Context, a evacuate.Action, o *evacuate.Outcome) (err error) {
	seen := &evacuate.Observation{Moved: map[nova.ServerID]nova.Server{}, Gone: map[nova.ServerID]bool{}, Ends: true}
	if err := r.lookAt(ctx, []nova.ServerID{a.Server}, time.Time{}, seen); err != nil {
		return err
	}
	if seen.Rows, err = r.evacuations(ctx, a.Host); err != nil {
		return fmt.Errorf("list the evacuations of %s: %w", a.Host, err)
	}
	if seen.Moves, err = r.moves(ctx, a.From); err != nil {
		return fmt.Errorf("list the migrations from %s: %w", a.From, err)
	}
	o.Seen = seen
	return nil
}

// failback sends one live migration, once: it relies on the committed intent and the
// guard, and what is not answered is read.
func (r *Runner) failback(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome) error {
	return r.once(ctx, a, dl, o, "live migration", fmt.Sprintf("live-migrate %s to %s", a.Server, a.To.Host), func(ctx context.Context) (string, error) {
		return r.Migrator.LiveMigrate(ctx, a.Server, a.To.Host)
	}, "to", a.To.Host, "host", a.Host, "recovery", a.Recovery, "step", a.Step, "server", a.Server)
}
