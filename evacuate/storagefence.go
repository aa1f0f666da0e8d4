package evacuate

import (
	"fmt"
	"time"
)

// StorageFence is what was asked of the program that takes a host's storage away. It is
// no proof: guests that run on answer from memory.
type StorageFence struct {
	// Asked is when the program was first to be called. From then on access may be gone,
	// whatever the program said, and is given back before the host returns.
	Asked time.Time `json:"asked"`
	// Done is when it said that access is gone and no watcher is left; zero: it has not,
	// or the proof beside it was voided since.
	Done time.Time `json:"done,omitzero"`
}

// StorageGone says that the host's storage was taken away, and is by now as far as is known.
func (r *Recovery) StorageGone() bool { return r.StorageFence != nil && !r.StorageFence.Done.IsZero() }

// ofStorage takes what a step means for the host's storage, or refuses it.
func (r *Recovery) ofStorage(e Entry) error {
	switch phase := e.Record.Phase; {
	case e.Step == StepFenceStorage && phase == PhaseIntent:
		if r.Status != StatusOpen {
			return fmt.Errorf("storage of %s: its recovery is %s", r.Host, r.Status)
		}
		if r.StorageFence == nil {
			r.StorageFence = &StorageFence{Asked: e.At}
		}
	case e.Step == StepFenceStorage && phase == PhaseDone && r.StorageFence != nil:
		r.StorageFence = &StorageFence{Asked: r.StorageFence.Asked, Done: e.At}
	case e.Step == StepUnfenceStorage && phase == PhaseIntent:
		// What was evacuated, or is being, writes to that storage from elsewhere.
		if _, proved := r.Proved(); r.Status == StatusRecovered || r.Status == StatusOpen && (proved || r.sent()) {
			return fmt.Errorf("storage of %s: it is not given back while its instances are elsewhere, or on their way, and it is not asked back", r.Host)
		}
		delete(r.Steps, StepFenceStorage)
		if r.StorageFence != nil {
			r.StorageFence = &StorageFence{Asked: r.StorageFence.Asked}
		}
	case e.Step == StepUnfenceStorage && phase == PhaseDone:
		r.StorageFence = nil
	}
	return nil
}

// staleStorage: whoever was switched on since may have found a way back to it.
func (r *Recovery) staleStorage() {
	if old := r.Steps[StepFenceStorage]; old != nil && old.Phase != PhaseIntent { // a call that may run is waited for
		delete(r.Steps, StepFenceStorage)
	}
	if r.StorageFence != nil {
		r.StorageFence = &StorageFence{Asked: r.StorageFence.Asked}
	}
}

// fenceStorage has the host's storage taken away, beside its power-off or after it.
func (c *Core) fenceStorage(r *Recovery) {
	if c.world.Fencing[r.Host].Storage == "" || r.StorageGone() || c.underWay(r, StepUnfenceStorage) {
		return
	}
	c.begin(r, act(r, StepFenceStorage), fmt.Sprintf("take the storage of %s away by %s", r.Host, c.world.Fencing[r.Host].Storage))
}

// storageReady says that nothing of the host's storage stands against moving its
// instances: it is gone, or no program is configured, or it failed and is optional.
func (c *Core) storageReady(r *Recovery) bool {
	if c.world.Fencing[r.Host].Storage == "" || r.StorageGone() {
		return true
	}
	if c.underWay(r, StepFenceStorage) {
		return false
	}
	old := r.Steps[StepFenceStorage]
	failed := old != nil && old.Phase == PhaseFailed
	if failed && c.policy.Proofs.Storage == StorageOptional {
		return true
	}
	if failed {
		c.hold(r, Hold{Step: StepFenceStorage, Reason: old.Detail})
	}
	c.fenceStorage(r)
	return false
}

// storageBack has the host's storage given back, and says that it was, or was never
// taken away.
func (c *Core) storageBack(r *Recovery) bool {
	if r.StorageFence == nil {
		return true
	}
	if !c.underWay(r, StepFenceStorage) {
		c.begin(r, act(r, StepUnfenceStorage), fmt.Sprintf("give %s its storage back", r.Host))
	}
	return false
}
