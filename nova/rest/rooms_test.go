package rest

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// Rooms is one question to Placement; hypervisors are read again for a node that is not
// known, and not each time.
func TestRooms(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		w.cloud.AddHost("cmp07", novatest.HostOptions{Node: "cmp07.example.org", RAMMiB: 8192, VCPUs: 2})
		w.cloud.Boot("cmp07", 3, novatest.BootOptions{RAMMiB: 2048, VCPUs: 4})
		w.cloud.AddHost("full", novatest.HostOptions{RAMMiB: 2048})
		w.cloud.Boot("full", 1, novatest.BootOptions{RAMMiB: 2048})
		before := len(w.cloud.Requests())
		rooms, err := w.client.Rooms(w.Context())
		if err != nil || rooms["cmp07"].Left != (nova.Size{VCPUs: 20, RAMMiB: 2048, DiskGiB: unlimited}) || rooms["cmp07"].Disabled {
			t.Errorf("%+v, %v", rooms["cmp07"], err)
		}
		if _, ok := rooms["full"]; ok {
			t.Errorf("a host that is full has room: %+v", rooms["full"])
		}
		if got := len(w.cloud.Requests()) - before; got != 2 {
			t.Errorf("%d questions, of which one is for the hypervisors", got)
		}
		w.cloud.AddHost("new")
		w.cloud.SetService("cmp07", true, "x", false)
		for range 3 {
			rooms, err = w.client.Rooms(w.Context())
		}
		if _, known := rooms["new"]; err != nil || known || !rooms["cmp07"].Disabled {
			t.Errorf("%+v, %v", rooms, err)
		}
		time.Sleep(nodesFresh)
		before = len(w.cloud.Requests())
		if rooms, err = w.client.Rooms(w.Context()); err != nil || rooms["new"].Left.RAMMiB == 0 {
			t.Errorf("a new host: %+v, %v", rooms, err)
		}
		if got := len(w.cloud.Requests()) - before; got != 2 {
			t.Errorf("%d questions, of which one is for the hypervisors", got)
		}
		w.cloud.Inject(novatest.Fault{Match: "allocation_candidates", Status: 503})
		_, err = w.client.Rooms(w.Context())
		wantFault(t, err, nova.FaultUnknown)
	})
}

// Traits and every class of resources come in the same answer, with those of what stands
// below a host; what stands there is no host that is not known.
func TestRoomsOfProviders(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		w.cloud.AddHost("gpu", novatest.HostOptions{Traits: []string{"CUSTOM_FAST"}, Resources: map[string]int{"CUSTOM_LICENCE": 4}})
		w.cloud.AddProvider("gpu", []string{"CUSTOM_A100", "COMPUTE_NODE"}, map[string]int{"VGPU": 2})
		w.cloud.AddProvider("gpu", []string{"COMPUTE_STATUS_DISABLED"}, map[string]int{"VGPU": 6})
		w.cloud.Boot("gpu", 1, novatest.BootOptions{FlavorExtra: map[string]string{"resources1:VGPU": "3", "resources:CUSTOM_LICENCE": "1"}})
		if _, err := w.client.Rooms(w.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(nodesFresh)
		before := len(w.cloud.Requests())
		rooms, err := w.client.Rooms(w.Context())
		if got := len(w.cloud.Requests()) - before; err != nil || got != 1 {
			t.Errorf("%d questions, %v", got, err)
		}
		room := rooms["gpu"]
		if want := map[string]int{"VGPU": 5, "CUSTOM_LICENCE": 3}; !maps.Equal(room.Classes, want) || room.Disabled {
			t.Errorf("%+v, want %v", room, want)
		}
		if want := []string{"COMPUTE_NODE", "CUSTOM_FAST", "HW_CPU_X86_VMX"}; !slices.Equal(room.Own, want) {
			t.Errorf("its own: %v", room.Own)
		}
		if want := []string{"COMPUTE_NODE", "COMPUTE_STATUS_DISABLED", "CUSTOM_A100", "CUSTOM_FAST", "HW_CPU_X86_VMX"}; !slices.Equal(room.Traits, want) || !room.Has("CUSTOM_A100") || room.Has("CUSTOM_B100") {
			t.Errorf("all: %v", room.Traits)
		}
		if other := rooms["cmp01"]; other.Classes != nil || other.Has("CUSTOM_FAST") || room.Left.RAMMiB == 0 {
			t.Errorf("another host: %+v", other)
		}
	})
}

// Hosts may have shared processors, their instances' own, or none that is left; one
// question tells all of them.
func TestRoomsOfProcessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := connected(t, novatest.Options{})
		cloud.AddHost("pinned", novatest.HostOptions{VCPUs: 8, RAMMiB: 8192, Dedicated: true})
		cloud.Boot("pinned", 1, novatest.BootOptions{RAMMiB: 2048, VCPUs: 6})
		rooms, err := client.Rooms(t.Context())
		if want := (nova.Size{VCPUs: unlimited, PCPUs: 2, RAMMiB: 6144, DiskGiB: unlimited}); err != nil || rooms["pinned"].Left != want {
			t.Errorf("where no host has shared ones: %+v, %v", rooms["pinned"], err)
		}
		cloud.AddHost("shared", novatest.HostOptions{VCPUs: 1, RAMMiB: 8192})
		cloud.Boot("shared", 1, novatest.BootOptions{RAMMiB: 2048, VCPUs: 16})
		time.Sleep(nodesFresh)
		rooms, err = client.Rooms(t.Context())
		if want := (nova.Size{PCPUs: 2, RAMMiB: 6144, DiskGiB: unlimited}); err != nil || rooms["pinned"].Left != want {
			t.Errorf("of its own alone: %+v, %v", rooms["pinned"], err)
		}
		if want := (nova.Size{RAMMiB: 6144, DiskGiB: unlimited}); rooms["shared"].Left != want {
			t.Errorf("all given out: %+v", rooms["shared"])
		}
	})
}

// The zone that a server was asked for in is told from 2.96 on, and is not that of its host.
func TestPinned(t *testing.T) {
	for version, want := range map[string]string{"2.95": "", "2.96": "nova"} {
		in(t, novatest.Options{Version: version}, func(w world) {
			free, bound := w.cloud.Boot("cmp01", 1)[0], w.cloud.Boot("cmp01", 1, novatest.BootOptions{PinnedZone: true})[0]
			list, err := w.client.Servers(w.Context(), "cmp01")
			got := map[nova.ServerID]string{}
			for _, s := range list {
				got[s.ID] = s.Pinned
			}
			if err != nil || len(list) != 2 || got[free] != "" || got[bound] != want {
				t.Errorf("%s: %v, %v", version, got, err)
			}
		})
	}
}

// Moves are live migrations, resizes and cold migrations, and no evacuations.
func TestMoves(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		id := w.cloud.Boot("cmp01", 1)[0]
		for _, kind := range []string{nova.TypeLiveMigration, nova.TypeResize, nova.TypeMigration, nova.TypeEvacuation} {
			w.cloud.AddMigration(nova.Migration{Server: id, Type: kind, Status: "running", Source: "cmp01", Dest: "cmp02"})
		}
		moves, err := w.client.Moves(w.Context(), "cmp01")
		if err != nil || len(moves) != 3 || moves[0].Type != nova.TypeLiveMigration || moves[2].Type != nova.TypeMigration {
			t.Errorf("%+v, %v", moves, err)
		}
		w.cloud.SetPolicy(novatest.Policy{Forbid: true})
		_, err = w.client.Moves(w.Context(), "cmp01")
		wantFault(t, err, nova.FaultRefused)
	})
}

// A swap of "" (Nova before 2.75) is none, and loses nobody.
func TestCount(t *testing.T) {
	for text, want := range map[string]count{`7`: 7, `""`: 0, `null`: 0, `"3"`: 0} {
		n := count(1)
		if err := n.UnmarshalJSON([]byte(text)); err != nil || n != want {
			t.Errorf("%s: %d, %v", text, n, err)
		}
	}
}
