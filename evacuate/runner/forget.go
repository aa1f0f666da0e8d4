package runner

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Cleaner takes what a host has left behind out of Placement and Nova.
type Cleaner interface {
	Release(ctx context.Context, id nova.ServerID, providers []string) error
	DeleteProvider(ctx context.Context, id string) error
	DeleteService(ctx context.Context, id string) error
}

// Forget cleans up after a host that never returns. Each part may be done again: what is
// gone already is no fault.
type Forget struct {
	Found   evacuate.Forgetting
	Term    uint64 // in which it was begun
	Cleaner Cleaner
	Quorum  Quorum
	Clock   Clock
	// Permits asks the ledger as it stands now, before each write.
	Permits func() error
	Log     *slog.Logger
}

// forgetWithin bounds the whole.
const forgetWithin = 5 * time.Minute

// Do cleans: allocations first, for a provider that gives room to anybody is not deleted;
// the service last, for as long as Nova has it, all this can be asked for again.
func (f *Forget) Do(ctx context.Context) error {
	dl := f.Clock.Deadline(forgetWithin)
	guard := guardBy(f.Quorum, f.Term, dl, f.Permits)
	step := func(what string, do func(ctx context.Context) error) error {
		if err := guard(ctx); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		wctx, cancel := bounded(ctx, dl, writeTimeout)
		defer cancel()
		if err := do(wctx); err != nil && nova.FaultOf(err) != nova.FaultNotFound {
			return err
		}
		f.Log.Info("forgetting a host", "host", f.Found.Host, "step", what)
		return nil
	}
	for _, s := range f.Found.Elsewhere {
		if err := step("allocation of "+string(s.ID), func(ctx context.Context) error { return f.Cleaner.Release(ctx, s.ID, f.Found.Providers) }); err != nil {
			return err
		}
	}
	for _, p := range f.Found.Providers {
		if err := step("resource provider "+p, func(ctx context.Context) error { return f.Cleaner.DeleteProvider(ctx, p) }); err != nil {
			return err
		}
	}
	if f.Found.Service.ID == "" {
		return nil
	}
	return step("compute service "+f.Found.Service.ID, func(ctx context.Context) error { return f.Cleaner.DeleteService(ctx, f.Found.Service.ID) })
}
