package rest

import (
	"testing"
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
		if err != nil || rooms["cmp07"] != (nova.Room{Left: nova.Size{VCPUs: 20, RAMMiB: 2048, DiskGiB: unlimited}}) {
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
