package evacuate

import (
	"strings"
	"testing"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestChoose is the per-state table of what Nova accepts and what is safe.
func TestChoose(t *testing.T) {
	tests := []struct {
		state, task string
		never       bool // never booted
		image       bool // boots from an image copy
		storage     Storage
		why         string // "" means: evacuated
	}{
		{state: nova.VMActive},
		{state: nova.VMStopped},
		{state: nova.VMError},
		{state: nova.VMActive, task: "powering-off"},
		{state: nova.VMActive, task: "rebooting"},
		{state: nova.VMActive, task: "image_snapshot"},
		{state: nova.VMActive, task: nova.TaskRebuilding},
		{state: nova.VMActive, task: "deleting", why: "being deleted"},
		{state: nova.VMActive, task: "soft-deleting", why: "being deleted"},
		{state: nova.VMActive, task: nova.TaskMigrating, why: "live-migrated"},
		{state: nova.VMActive, task: "resize_prep", why: "resized"},
		{state: nova.VMActive, task: "resize_migrating", why: "resized"},
		{state: "resized", why: "state resized"},
		{state: "paused", why: "state paused"},
		{state: "suspended", why: "state suspended"},
		{state: "rescued", why: "state rescued"},
		{state: "shelved", why: "state shelved"},
		{state: "soft-delete", why: "state soft-delete"},
		{state: "", why: "state "},
		{state: nova.VMBuilding, why: "never booted"},
		{state: nova.VMError, never: true, why: "never booted"},
		{state: nova.VMActive, image: true, storage: StorageShared},
		{state: nova.VMActive, image: true, storage: StorageNone, why: "would lose its data"},
		{state: nova.VMActive, image: true, storage: StorageLocal, why: "would lose its data"},
		{state: nova.VMActive, image: true, storage: StorageVolume, why: "would lose its data"},
		{state: nova.VMActive, image: true, storage: "", why: "would lose its data"},
		{state: nova.VMStopped, storage: StorageLocal},
	}
	for _, tt := range tests {
		s := nova.Server{VMState: tt.state, TaskState: tt.task, VolumeBooted: !tt.image, LaunchedAt: t0}
		if tt.never {
			s.LaunchedAt = nova.Server{}.LaunchedAt
		}
		move, why := Choose(s, tt.storage)
		if move != (tt.why == "") || !strings.Contains(why, tt.why) {
			t.Errorf("%s/%s image %t on %q: moved %t (%s), want reason %q", tt.state, tt.task, tt.image, tt.storage, move, why, tt.why)
		}
	}
}

// TestPlan orders the biggest first, then by name, and keeps the state from
// before anything was done.
func TestPlan(t *testing.T) {
	server := func(id string, ram int, state string) nova.Server {
		return nova.Server{ID: nova.ServerID(id), Name: id, RAMMiB: ram, VMState: state, VolumeBooted: true, LaunchedAt: t0}
	}
	in := []nova.Server{server("b", 512, nova.VMActive), server("a", 512, nova.VMError), server("z", 4096, nova.VMActive), server("p", 8192, "paused"), server("n", 100, nova.VMActive)}
	plan := Plan(in, StorageNone, []Instance{{ID: "a", VMState: nova.VMStopped}}, func(s nova.Server) (bool, string) { return s.ID != "n", "because" })
	got := ""
	for _, e := range plan {
		got += e.Name + " " + string(e.State) + " " + e.VMState + "\n"
	}
	want := "p skipped paused\nz planned active\na planned stopped\nb planned active\nn skipped active\n"
	if got != want {
		t.Errorf("plan:\n%swant:\n%s", got, want)
	}
	if in[0].ID != "b" {
		t.Error("Plan changed its argument")
	}
	if plan[4].Reason != "not protected: because" {
		t.Errorf("an instance that nobody protects is left with %q", plan[4].Reason)
	}
	if plan[0].Reason == "" {
		t.Error("a server is left behind without a reason")
	}
}
