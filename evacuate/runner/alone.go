package runner

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// rowsFresh is the greatest age of the look at a host's evacuations on which a POST is
// sent; an older one is made anew.
const rowsFresh = 2 * time.Second

// rowBook keeps the rows that were read last before a POST, by host: the lanes share them.
type rowBook struct {
	mu sync.Mutex
	by map[nova.HostName]rowsAt
}

type rowsAt struct {
	began time.Time
	rows  []nova.Migration
}

// alone sees that nobody else has evacuated the server since the look on which its POST
// was promised: it may have waited for a lane. Nova writes the row before it answers.
func (r *Runner) alone(ctx context.Context, a evacuate.Action, o *evacuate.Outcome) error {
	if !a.Looked.IsZero() && spent(a.Looked, r.Clock.Now()) <= rowsFresh {
		return nil
	}
	rows, err := r.rowsNow(ctx, a.Host)
	if err != nil {
		return fmt.Errorf("read the evacuations of %s before the next: %w", a.Host, err)
	}
	if m := nova.NewestOf(rows, a.Server); m.ID > a.AfterRow {
		o.Cause = evacuate.CauseForeign
		return fmt.Errorf("somebody else has evacuated %s meanwhile: row %d is %s", a.Server, m.ID, m.Status)
	}
	return nil
}

// rowsNow reads the evacuations of a host, or takes those of another lane where they are
// young enough.
func (r *Runner) rowsNow(ctx context.Context, host nova.HostName) ([]nova.Migration, error) {
	began := r.Clock.Now()
	r.rows.mu.Lock()
	last, ok := r.rows.by[host]
	r.rows.mu.Unlock()
	if ok && spent(last.began, began) <= rowsFresh {
		return last.rows, nil
	}
	rows, err := r.evacuations(ctx, host) // nobody waits for a lock meanwhile
	if err != nil {
		return nil, err
	}
	r.rows.mu.Lock()
	defer r.rows.mu.Unlock()
	if r.rows.by == nil {
		r.rows.by = map[nova.HostName]rowsAt{}
	}
	r.rows.by[host] = rowsAt{began, rows}
	return rows, nil
}
