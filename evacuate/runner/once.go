package runner

import (
	"context"
	"fmt"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// once sends one write on an instance that was promised in the ledger, after the guard. It
// is logged as what it is with its attributes; what is not answered is read. doing begins the
// error.
func (r *Runner) once(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome, write, doing string,
	send func(context.Context) (requestID string, err error), attributes ...any,
) error {
	if err := r.guard(a, dl)(ctx); err != nil {
		o.Definite = true // nothing was sent
		return err
	}
	ctx, cancel := bounded(ctx, dl, writeTimeout)
	defer cancel()
	id, err := send(ctx)
	o.RequestID = id
	r.Log.Info("instance write sent", append(attributes, "write", write, "request_id", id, "ok", err == nil)...)
	if err != nil {
		f := nova.FaultOf(err)
		o.Definite, o.Cause = f.Definite(), string(f)
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
