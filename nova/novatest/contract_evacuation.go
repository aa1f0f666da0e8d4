package novatest

import (
	"slices"
	"strings"
	"testing"

	"github.com/lifeboat-ha/lifeboat/nova"
)

func (h Harness) servers(t *testing.T, want []nova.ServerID) {
	list, err := h.API.Servers(h.ctx(t), h.Source)
	if err != nil {
		t.Fatal(err)
	}
	all, err := h.API.AllServersByHost(h.ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range want {
		i := slices.IndexFunc(list, func(s nova.Server) bool { return s.ID == id })
		if i < 0 {
			t.Fatalf("server %s is not listed on %s", id, h.Source)
		}
		s := list[i]
		if s.Host != h.Source || s.VMState != nova.VMActive || s.TaskState != "" || s.PowerState != nova.PowerRunning ||
			s.LaunchedAt.IsZero() || s.RAMMiB == 0 || s.VCPUs == 0 || s.Project == "" || s.Name == "" {
			t.Errorf("a running server reads as %+v", s)
		}
		one, err := h.API.Server(h.ctx(t), id)
		if err != nil || one.Host != h.Source || one.VMState != s.VMState || !one.LaunchedAt.Equal(s.LaunchedAt) {
			t.Errorf("alone it reads as %+v, %v", one, err)
		}
		if !slices.Contains(all[h.Source], id) {
			t.Errorf("server %s is missing among all servers of %s", id, h.Source)
		}
	}
	for _, host := range h.Others {
		if _, ok := all[host]; !ok {
			t.Errorf("host %s is missing among all hosts", host)
		}
	}
	if none, err := h.API.Servers(h.ctx(t), "no-such-host"); nova.FaultOf(err) != nova.FaultNotFound {
		t.Errorf("the servers of a host that is not there: %v, %v", none, err)
	}
}

func (h Harness) row(t *testing.T, id nova.ServerID) (nova.Migration, bool) {
	t.Helper()
	rows, err := h.API.Evacuations(h.ctx(t), h.Source)
	if err != nil {
		t.Fatal(err)
	}
	var last nova.Migration
	for _, m := range rows {
		if m.Server == id {
			last = m
		}
	}
	return last, last.UUID != ""
}

func (h Harness) evacuation(t *testing.T, servers []nova.ServerID) {
	h.Kill(t, h.Source)
	id := h.service(t, h.Source).ID
	s := h.put(t, id, nova.ServiceUpdate{Disabled: new(true), DisabledReason: "lifeboat:contract", ForcedDown: new(true)})
	if s.State != nova.StateDown {
		t.Fatalf("forced down reads as %+v", s)
	}
	requests := map[nova.ServerID]string{}
	for _, server := range servers {
		requestID, err := h.API.Evacuate(h.ctx(t), server)
		if err != nil || !strings.HasPrefix(requestID, "req-") {
			t.Fatalf("evacuate: request %q, %v", requestID, err)
		}
		requests[server] = requestID
		if m, ok := h.row(t, server); !ok || m.Type != "evacuation" || m.Source != h.Source || m.CreatedAt.IsZero() {
			t.Errorf("right after the POST the row is %+v", m)
		}
	}
	for _, server := range servers {
		h.wait(t, "evacuation of "+string(server), func() bool {
			m, _ := h.row(t, server)
			if m.Status.Terminal() && m.Status != nova.MigrationDone {
				t.Fatalf("row ended as %+v", m)
			}
			return m.Status == nova.MigrationDone
		})
		m, _ := h.row(t, server)
		got, err := h.API.Server(h.ctx(t), server)
		if err != nil || got.Host == h.Source || got.Host != m.Dest || got.VMState != nova.VMActive || got.TaskState != "" {
			t.Errorf("after done: %+v, %v; row %+v", got, err, m)
		}
		if m.UpdatedAt.IsZero() {
			t.Error("a row that is done was never updated")
		}
		h.loggedAs(t, server, requests[server])
	}
	if left, err := h.API.Servers(h.ctx(t), h.Source); err != nil || len(left) != 0 {
		t.Errorf("left on the source: %v, %v", left, err)
	}
}

// loggedAs: the request id that the POST returned is the one in Nova's action
// log. This is how a POST without an answer is found again.
func (h Harness) loggedAs(t *testing.T, server nova.ServerID, requestID string) {
	t.Helper()
	actions, err := h.API.Actions(h.ctx(t), server)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, a := range actions {
		if a.Action == "evacuate" {
			n++
			if a.RequestID != requestID || a.StartedAt.IsZero() {
				t.Errorf("the log has %+v, the POST returned %s", a, requestID)
			}
		}
	}
	if n != 1 {
		t.Errorf("%d evacuate actions in the log, want 1: %+v", n, actions)
	}
}

func (h Harness) comesBack(t *testing.T, servers []nova.ServerID) {
	id := h.service(t, h.Source).ID
	_, err := h.API.UpdateService(h.ctx(t), id, nova.ServiceUpdate{ForcedDown: new(false)})
	if nova.FaultOf(err) != nova.FaultRefused || !strings.Contains(err.Error(), "`done` evacuation") {
		t.Errorf("forced up while rows are done: %v", err)
	}
	h.Restart(t, h.Source)
	h.wait(t, "rows completed", func() bool {
		return !slices.ContainsFunc(servers, func(s nova.ServerID) bool {
			m, _ := h.row(t, s)
			return m.Status != nova.MigrationCompleted
		})
	})
	h.put(t, id, nova.ServiceUpdate{ForcedDown: new(false)})
	h.wait(t, "service up", func() bool { return h.service(t, h.Source).State == nova.StateUp })
	got := h.put(t, id, nova.ServiceUpdate{Disabled: new(false)})
	if got.Disabled || got.ForcedDown || got.State != nova.StateUp {
		t.Errorf("back in service: %+v", got)
	}
	if !h.NoPlacement {
		h.trait(t, false)
	}
}
