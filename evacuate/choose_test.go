package evacuate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestChoose is the table of docs/evacuation.md: what Nova accepts and what is safe,
// for each state and task.
func TestChoose(t *testing.T) {
	tests := []struct {
		state, task string
		never       bool // never booted
		image       bool // boots from an image copy
		more        int  // GiB of ephemeral disk
		storage     Storage
		do          Do // "" is move
		why         string
	}{
		{state: nova.VMActive},
		{state: nova.VMStopped},
		{state: nova.VMError},
		{state: nova.VMActive, task: "powering-off"},
		{state: nova.VMStopped, task: "powering-on"},
		{state: nova.VMActive, task: "rebooting"},
		{state: nova.VMActive, task: "rebooting_hard"},
		{state: nova.VMActive, task: "image_snapshot"},
		{state: nova.VMActive, task: "image_uploading"},
		{state: nova.VMActive, task: "attaching"},
		{state: nova.VMActive, task: "pausing"},
		{state: nova.VMActive, task: "suspending"},
		{state: nova.VMActive, task: "rescuing"},
		{state: nova.VMActive, task: "shelving"},
		{state: nova.VMActive, task: nova.TaskRebuilding},
		{state: nova.VMActive, task: "rebuild_spawning"},
		{state: nova.VMActive, task: "updating_password"},
		{state: nova.VMActive, task: nova.TaskDeleting, do: DoLeave, why: "being deleted"},
		{state: nova.VMActive, task: nova.TaskSoftDeleting, do: DoLeave, why: "being deleted"},
		{state: nova.VMError, task: nova.TaskDeleting, do: DoLeave, why: "being deleted"},
		{state: nova.VMActive, task: nova.TaskMigrating, do: DoLook, why: "live-migrated"},
		{state: nova.VMActive, task: nova.TaskResizePrep, do: DoLook, why: "resized"},
		{state: nova.VMActive, task: "resize_migrating", do: DoLeave, why: "half moved"},
		{state: nova.VMStopped, task: "resize_migrating", do: DoLeave, why: "half moved"},
		{state: nova.VMActive, task: "resize_migrated", do: DoLeave, why: "half moved"},
		{state: nova.VMActive, task: "resize_finish", do: DoLeave, why: "half moved"},
		{state: nova.VMResized, do: DoLeave, why: "confirmed or reverted"},
		{state: nova.VMPaused, do: DoLeave, why: "policy.restart"},
		{state: nova.VMSuspended, do: DoLeave, why: "policy.restart"},
		{state: nova.VMRescued, do: DoLeave, why: "policy.restart"},
		{state: "shelved", do: DoLeave, why: "state shelved"},
		{state: "shelved_offloaded", do: DoLeave, why: "state shelved_offloaded"},
		{state: "soft-delete", do: DoLeave, why: "state soft-delete"},
		{state: nova.VMDeleted, do: DoLeave, why: "state deleted"},
		{state: "", do: DoLeave, why: "state "},
		{state: nova.VMBuilding, do: DoLeave, why: "never booted"},
		{state: nova.VMBuilding, task: "spawning", do: DoLeave, why: "never booted"},
		{state: nova.VMError, never: true, do: DoLeave, why: "never booted"},
		{state: nova.VMActive, never: true, do: DoLeave, why: "never launched"},
		{state: nova.VMActive, image: true, storage: StorageShared},
		{state: nova.VMActive, image: true, storage: StorageReimage},
		{state: nova.VMActive, image: true, storage: StorageNone, do: DoLeave, why: "would lose its data"},
		{state: nova.VMActive, image: true, storage: StorageLocal, do: DoLeave, why: "would lose its data"},
		{state: nova.VMActive, image: true, storage: StorageVolume, do: DoLeave, why: "would lose its data"},
		{state: nova.VMActive, image: true, storage: "", do: DoLeave, why: "would lose its data"},
		{state: nova.VMActive, task: nova.TaskMigrating, image: true, storage: StorageLocal, do: DoLeave, why: "would lose its data"},
		{state: nova.VMStopped, storage: StorageLocal},
		{state: nova.VMActive, more: 20, storage: StorageShared},
		{state: nova.VMActive, more: 20, storage: StorageReimage},
		{state: nova.VMActive, more: 20, storage: StorageVolume, do: DoLeave, why: "20 GiB of ephemeral disk"},
		{state: nova.VMActive, more: 20, storage: StorageNone, do: DoLeave, why: "20 GiB of ephemeral disk"},
	}
	for _, tt := range tests {
		s := nova.Server{VMState: tt.state, TaskState: tt.task, VolumeBooted: !tt.image, EphemeralGiB: tt.more, LaunchedAt: t0}
		if tt.never {
			s.LaunchedAt = time.Time{}
		}
		if tt.do == "" {
			tt.do = DoMove
		}
		got := Choose(s, tt.storage, nil)
		if got.Do != tt.do || !strings.Contains(got.Reason, tt.why) || (got.Do == DoMove) != (got.Reason == "") {
			t.Errorf("%s/%s image %t on %q: %s (%s), want %s and reason %q", tt.state, tt.task, tt.image, tt.storage, got.Do, got.Reason, tt.do, tt.why)
		}
	}
}

// Only what the operator named is reset, only where its disk survives it, and
// nothing that may run elsewhere.
func TestChooseRestart(t *testing.T) {
	for _, state := range []string{"", nova.VMActive, nova.VMStopped, nova.VMError, nova.VMPaused, nova.VMSuspended, nova.VMRescued, nova.VMResized, nova.VMBuilding, "shelved", "soft-delete"} {
		for _, task := range []string{"", nova.TaskDeleting, nova.TaskMigrating, "resize_migrating"} {
			for _, named := range []bool{true, false} {
				for _, disk := range []bool{true, false} {
					restart := []string{}
					if named {
						restart = []string{state}
					}
					got := Choose(nova.Server{VMState: state, TaskState: task, VolumeBooted: disk, LaunchedAt: t0}, StorageLocal, restart).Do
					want := named && disk && task == "" && slices.Contains(Restartable, state)
					if (got == DoReset) != want {
						t.Errorf("%q/%q named %t, disk moves %t: %s", state, task, named, disk, got)
					}
				}
			}
		}
	}
}

func TestStorages(t *testing.T) {
	in := func(name string, storage string) nova.Aggregate {
		return nova.Aggregate{Name: name, Hosts: []nova.HostName{"cmp1"}, Metadata: map[string]string{keyStorage: storage}}
	}
	elsewhere := nova.Aggregate{Name: "else", Hosts: []nova.HostName{"cmp2"}, Metadata: map[string]string{keyStorage: "shared"}}
	for name, row := range map[string]struct {
		own, cloud Storage
		aggregates []nova.Aggregate
		want       Storage
	}{
		"the cloud's":                      {"", StorageVolume, nil, StorageVolume},
		"the host's own":                   {StorageLocal, StorageShared, []nova.Aggregate{in("a", "shared")}, StorageLocal},
		"its aggregate's":                  {"", StorageNone, []nova.Aggregate{in("a", "shared")}, StorageShared},
		"an aggregate may be more careful": {"", StorageShared, []nova.Aggregate{in("a", "local")}, StorageLocal},
		"of several the most careful":      {"", StorageNone, []nova.Aggregate{in("a", "shared"), in("b", "reimage"), in("c", "volume")}, StorageVolume},
		"another host's aggregate":         {"", StorageNone, []nova.Aggregate{elsewhere}, StorageNone},
		"a word that is none of ours":      {"", StorageVolume, []nova.Aggregate{in("a", "Shared!")}, StorageVolume},
	} {
		if got := Storages(map[nova.HostName]Storage{"cmp1": row.own}, row.cloud, row.aggregates)["cmp1"]; got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
}

// The owner, the size and the image may say that a rebuild from the image is meant,
// the nearest first; nobody else's silence does.
func TestReimage(t *testing.T) {
	yes, no := map[string]string{keyReimage: "true"}, map[string]string{keyReimage: "false"}
	for name, row := range map[string]struct {
		server, flavor, image map[string]string
		want                  bool
	}{
		"nobody":                   {},
		"the owner":                {server: yes, want: true},
		"the flavor":               {flavor: yes, want: true},
		"the image":                {image: yes, want: true},
		"the owner before others":  {server: no, flavor: yes, image: yes},
		"a word that says nothing": {server: map[string]string{keyReimage: "maybe"}},
	} {
		if got := diskMoves(nova.Server{Metadata: row.server, FlavorExtra: row.flavor, ImageProperties: row.image}, StorageLocal); got != row.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestEnds is the table of both ends: what may run at the other one stays.
func TestEnds(t *testing.T) {
	row := func(kind, status string, after int) nova.Migration {
		return nova.Migration{ID: 7 + after, Server: "vm", Type: kind, Status: nova.MigrationStatus(status), Source: "cmp1", Dest: "cmp2", CreatedAt: t0.Add(time.Duration(after) * time.Minute)}
	}
	live, resize, migrating := nova.TypeLiveMigration, nova.TypeResize, nova.TaskMigrating
	nowhere := row(live, "error", 0)
	nowhere.Dest = ""
	for name, tt := range map[string]struct {
		task string
		rows []nova.Migration
		end  OtherEnd
		want Do
	}{
		"no row":                             {migrating, nil, EndOff, DoLook},
		"another server's":                   {migrating, []nova.Migration{{ID: 9, Server: "other", Type: live, Status: nova.MigrationFailed, CreatedAt: t0}}, "", DoLook},
		"running":                            {migrating, []nova.Migration{row(live, "running", 0)}, "", DoLook},
		"running, the other end off too":     {migrating, []nova.Migration{row(live, "running", 0)}, EndOff, DoMove},
		"running, its libvirt has it":        {migrating, []nova.Migration{row(live, "running", 0)}, EndThere, DoLook},
		"running, its libvirt does not":      {migrating, []nova.Migration{row(live, "running", 0)}, EndAbsent, DoMove},
		"post-migrating":                     {migrating, []nova.Migration{row(live, "post-migrating", 0)}, "", DoLook},
		"completed, the host not yet moved":  {migrating, []nova.Migration{row(live, "completed", 0)}, "", DoLook},
		"too late to roll back":              {migrating, []nova.Migration{row(live, "error", 0)}, "", DoLook},
		"too late, the other end off":        {migrating, []nova.Migration{row(live, "error", 0)}, EndOff, DoMove},
		"too late, its libvirt has it not":   {migrating, []nova.Migration{row(live, "error", 0)}, EndAbsent, DoMove},
		"no host was found for it":           {migrating, []nova.Migration{nowhere}, "", DoMove},
		"rolled back":                        {migrating, []nova.Migration{row(live, "failed", 0)}, "", DoMove},
		"cancelled":                          {migrating, []nova.Migration{row(live, "cancelled", 0)}, "", DoMove},
		"failed before, running again":       {migrating, []nova.Migration{row(live, "failed", 0), row(live, "running", 1)}, "", DoLook},
		"running before, failed last":        {migrating, []nova.Migration{row(live, "failed", 1), row(live, "running", 0)}, "", DoMove},
		"a resize of which the other is off": {migrating, []nova.Migration{row(resize, "migrating", 0)}, EndOff, DoLook},
		"a resize, its libvirt has it not":   {nova.TaskResizePrep, []nova.Migration{row(resize, "pre-migrating", 0)}, EndAbsent, DoMove},
		"a resize that failed":               {migrating, []nova.Migration{row(resize, "error", 0)}, "", DoMove},
		"in error, and never migrated":       {"", nil, "", DoMove},
		"in error by something else":         {"", []nova.Migration{row(live, "completed", 0)}, "", DoMove},
		"in error for no host was found":     {"", []nova.Migration{nowhere}, "", DoMove},
		"in error, too late to roll back":    {"", []nova.Migration{row(live, "error", 0)}, "", DoLook},
		"in error, and the other end has it": {"", []nova.Migration{row(live, "error", 0)}, EndThere, DoLook},
		"in error, the other end has it not": {"", []nova.Migration{row(live, "error", 0)}, EndAbsent, DoMove},
		"in error, the other end is off":     {"", []nova.Migration{row(live, "error", 0)}, EndOff, DoMove},
		"in error, and rolled back since":    {"", []nova.Migration{row(live, "error", 0), row(live, "failed", 1)}, "", DoMove},
	} {
		got := Ends(nova.Server{ID: "vm", VMState: nova.VMError, TaskState: tt.task}, tt.rows, func(h nova.HostName) OtherEnd {
			if h == "cmp2" {
				return tt.end
			}
			return EndUnknown
		})
		if got.Do != tt.want || got.Do == DoLook && got.Reason == "" {
			t.Errorf("%s: %s (%s), want %s", name, got.Do, got.Reason, tt.want)
		}
	}
}

// TestPlan orders the biggest first, then by name, and keeps the state from
// before anything was done.
func TestPlan(t *testing.T) {
	server := func(id string, ram int, state string) nova.Server {
		return nova.Server{ID: nova.ServerID(id), Name: id, RAMMiB: ram, VMState: state, VolumeBooted: true, LaunchedAt: t0}
	}
	in := []nova.Server{server("b", 512, nova.VMActive), server("a", 512, nova.VMError), server("z", 4096, nova.VMActive), server("p", 8192, "paused"), server("n", 100, nova.VMActive), server("s", 50, "suspended")}
	policy := Policy{Restart: []string{"suspended"}}
	plan := Plan(in, StorageNone, []Instance{{ID: "a", VMState: nova.VMStopped}}, policy, func(s nova.Server) (bool, string) { return s.ID != "n", "because" })
	got := ""
	for _, e := range plan {
		got += e.Name + " " + string(e.State) + " " + e.VMState + " " + string(e.Reset) + "\n"
	}
	want := "p skipped paused \nz planned active \na held stopped \nb planned active \nn skipped active \ns planned suspended needed\n"
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
