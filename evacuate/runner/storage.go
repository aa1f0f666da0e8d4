package runner

import (
	"context"
	"errors"

	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// storage has a host's storage taken away, or given back. What it leaves is no proof: the
// power is read all the same.
func (r *Runner) storage(ctx context.Context, a evacuate.Action, dl Deadline) error {
	if r.Storage == nil {
		return errors.New("no program is configured on this controller: storage_fence")
	}
	ctx, cancel := bounded(ctx, dl, a.Deadline)
	defer cancel()
	if a.Step == evacuate.StepUnfenceStorage {
		return r.Storage.Unfence(ctx, string(a.Host), r.guard(a, dl))
	}
	return r.Storage.Fence(ctx, string(a.Host), r.guard(a, dl))
}
