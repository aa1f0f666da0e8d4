package novatest

import (
	"slices"
	"testing"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// wants checks what a call that must not succeed says.
func wants(t *testing.T, what string, err error, fault nova.Fault) {
	t.Helper()
	if nova.FaultOf(err) != fault {
		t.Errorf("%s: %v, want the fault %v", what, err, fault)
	}
}

// members: a host joins an aggregate and leaves it, each once.
func (h Harness) members(t *testing.T) {
	id := h.Aggregate(t)
	in := func() bool {
		list, err := h.API.Aggregates(h.ctx(t))
		i := slices.IndexFunc(list, func(a nova.Aggregate) bool { return a.ID == id })
		if err != nil || i < 0 {
			t.Fatalf("aggregate %d is not listed: %+v, %v", id, list, err)
		}
		return slices.Contains(list[i].Hosts, h.Source)
	}
	if err := h.API.JoinAggregate(h.ctx(t), id, h.Source); err != nil || !in() {
		t.Fatalf("joining: %v, in it: %t", err, in())
	}
	wants(t, "joining again", h.API.JoinAggregate(h.ctx(t), id, h.Source), nova.FaultConflict)
	wants(t, "joining, of a host that is not there", h.API.JoinAggregate(h.ctx(t), id, "no-such-host"), nova.FaultNotFound)
	if err := h.API.LeaveAggregate(h.ctx(t), id, h.Source); err != nil || in() {
		t.Fatalf("leaving: %v, in it: %t", err, in())
	}
	wants(t, "leaving again", h.API.LeaveAggregate(h.ctx(t), id, h.Source), nova.FaultNotFound)
	wants(t, "an aggregate that is not there", h.API.JoinAggregate(h.ctx(t), 999999, h.Source), nova.FaultNotFound)
}

// live: a running server goes from one living host to another, as failback has it, and
// from there to whichever the scheduler chooses.
func (h Harness) live(t *testing.T) {
	from, to := h.Others[0], h.Others[1]
	id := h.Boot(t, from, 1)[0]
	_, nowhere := h.API.LiveMigrate(h.ctx(t), id, "no-such-host")
	wants(t, "to a host that is not there", nowhere, nova.FaultRefused)
	h.moves(t, id, from, from, nova.MigrationError)
	h.moves(t, id, from, to, nova.MigrationCompleted)
	h.moves(t, id, to, "", nova.MigrationCompleted)
	if s, err := h.API.Server(h.ctx(t), id); err == nil && s.Host == h.Source { // which is to die
		h.moves(t, id, h.Source, to, nova.MigrationCompleted)
	}
}

// moves asks for a live migration, whose row has to end so.
func (h Harness) moves(t *testing.T, id nova.ServerID, from, to nova.HostName, ends nova.MigrationStatus) {
	t.Helper()
	newest := func() nova.Migration {
		rows, err := h.API.LiveMigrations(h.ctx(t), from)
		if err != nil {
			t.Fatal(err)
		}
		return nova.NewestOf(rows, id)
	}
	before := newest().ID // the conductor writes the row, after the answer
	if _, err := h.API.LiveMigrate(h.ctx(t), id, to); err != nil {
		t.Fatal(err)
	}
	h.wait(t, "the end of the live migration to "+string(to), func() bool {
		m := newest()
		if m.ID > before && m.Status.Terminal() && m.Status != ends {
			t.Fatalf("its row ended as %+v, want %s", m, ends)
		}
		return m.ID > before && m.Status == ends
	})
	h.wait(t, "the server to be at rest", func() bool {
		s, err := h.API.Server(h.ctx(t), id)
		there := s.Host == to || to == "" && s.Host != from
		if err != nil || !there || s.VMState != nova.VMActive {
			t.Fatalf("after it: %+v, %v", s, err)
		}
		return s.TaskState == "" && s.PowerState == nova.PowerRunning
	})
}

// release: the room that Placement keeps at the source of an evacuation is given back
// without its nova-compute; that at the destination never is.
func (h Harness) release(t *testing.T, server nova.ServerID) {
	if h.NoPlacement {
		return
	}
	source := h.providers(t, h.Source)
	if err := h.API.Release(h.ctx(t), server, source); err != nil {
		t.Fatal(err)
	}
	h.claimed(t, []nova.ServerID{server}, false)
	if err := h.API.Release(h.ctx(t), server, source); err != nil {
		t.Errorf("given back twice: %v", err)
	}
	s, err := h.API.Server(h.ctx(t), server)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, "where it lives", h.API.Release(h.ctx(t), server, h.providers(t, s.Host)), nova.FaultRefused)
	if claims, err := h.API.Claims(h.ctx(t), s.Host); err != nil || !slices.Contains(claims, server) {
		t.Errorf("its room at %s: %v, %v", s.Host, claims, err)
	}
}

func (h Harness) providers(t *testing.T, host nova.HostName) []string {
	t.Helper()
	ids, err := h.API.Providers(h.ctx(t), host)
	if err != nil || len(ids) == 0 {
		t.Fatalf("resource providers of %s: %v, %v", host, ids, err)
	}
	return ids
}

// forget: a host that has servers stays, and one that is empty and dead goes, with all
// that Placement knows of it.
func (h Harness) forget(t *testing.T, server nova.ServerID) {
	s, err := h.API.Server(h.ctx(t), server)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, "a service whose host has servers", h.API.DeleteService(h.ctx(t), h.service(t, s.Host).ID), nova.FaultConflict)
	if !h.NoPlacement {
		wants(t, "a provider that servers have room of", h.API.DeleteProvider(h.ctx(t), h.providers(t, s.Host)[0]), nova.FaultConflict)
	}
	h.Kill(t, h.Source)
	id := h.service(t, h.Source).ID
	h.put(t, id, nova.ServiceUpdate{Disabled: new(true), DisabledReason: "lifeboat:contract", ForcedDown: new(true)})
	var before []string
	if !h.NoPlacement {
		before = h.providers(t, h.Source)
	}
	if err := h.API.DeleteService(h.ctx(t), id); err != nil {
		t.Fatal(err)
	}
	_, gone := h.API.Service(h.ctx(t), h.Source)
	wants(t, "the service that was deleted", gone, nova.FaultNotFound)
	wants(t, "deleting it again", h.API.DeleteService(h.ctx(t), id), nova.FaultNotFound)
	for _, provider := range before {
		if err := h.API.DeleteProvider(h.ctx(t), provider); err != nil {
			t.Errorf("a provider that went with it: %v", err)
		}
	}
	rooms, err := h.API.Rooms(h.ctx(t))
	if room, known := rooms[h.Source]; err != nil || known {
		t.Errorf("room on the host that was forgotten: %+v, %v", room, err)
	}
	h.Restart(t, h.Source)
	h.wait(t, "the host to be known anew", func() bool {
		s, err := h.API.Service(h.ctx(t), h.Source)
		return err == nil && s.State == nova.StateUp && s.ID != id && !s.ForcedDown
	})
}
