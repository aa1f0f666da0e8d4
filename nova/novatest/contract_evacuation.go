package novatest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

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
	last := want[len(want)-1]
	if _, err := h.API.Stop(h.ctx(t), last); err != nil {
		t.Fatal(err)
	}
	h.wait(t, "a stopped server", func() bool {
		s, err := h.API.Server(h.ctx(t), last)
		return err == nil && s.VMState == nova.VMStopped && s.TaskState == "" && s.PowerState == nova.PowerShutdown
	})
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

// stall: the host has just died and Nova does not know. Disabling it alone
// takes effect and does not answer; forced down with it, it answers.
func (h Harness) stall(t *testing.T) {
	h.Kill(t, h.Source)
	id := h.service(t, h.Source).ID
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err := h.API.UpdateService(ctx, id, nova.ServiceUpdate{Disabled: new(true), DisabledReason: "lifeboat:contract"})
	if nova.FaultOf(err) != nova.FaultTimeout || nova.FaultOf(err).Definite() {
		t.Errorf("disabling a freshly dead host: %v", err)
	}
	var s nova.Service
	// A busy Nova gets there after we gave up.
	h.wait(t, "what had no answer to be in effect", func() bool { s = h.service(t, h.Source); return s.Disabled })
	if s.DisabledReason != "lifeboat:contract" || s.State != nova.StateUp {
		t.Errorf("without an answer, but in effect: %+v", s)
	}
	s = h.put(t, id, nova.ServiceUpdate{Disabled: new(true), DisabledReason: "lifeboat:contract", ForcedDown: new(true)})
	if s.State != nova.StateDown {
		t.Fatalf("forced down reads as %+v", s)
	}
}

// noHost: with every other host disabled the row ends in error and the server
// in ERROR, still on its host; it may be evacuated again.
func (h Harness) noHost(t *testing.T, server nova.ServerID) {
	for _, other := range h.Others {
		h.put(t, h.service(t, other).ID, nova.ServiceUpdate{Disabled: new(true), DisabledReason: "lifeboat:contract"})
	}
	if _, err := h.API.Evacuate(h.ctx(t), server, nova.Target{}); err != nil {
		t.Fatal(err)
	}
	h.wait(t, "a row in error", func() bool {
		m, _ := h.row(t, server)
		return m.Status == nova.MigrationError
	})
	h.wait(t, "a server in ERROR", func() bool {
		s, err := h.API.Server(h.ctx(t), server)
		return err == nil && s.VMState == nova.VMError && s.TaskState == "" && s.Host == h.Source && strings.Contains(s.Fault, "No valid host")
	})
	// What Server.Remains reads: the traceback, and a fault that is not older than its row.
	s, err := h.API.Server(h.ctx(t), server)
	m, _ := h.row(t, server)
	if err != nil || s.FaultCode != 500 || !strings.Contains(s.FaultTrace, "Traceback") || s.FaultAt.Before(m.UpdatedAt.Add(-2*time.Second)) {
		t.Errorf("its fault reads as %d at %s, of a row that ended at %s, %v: %s", s.FaultCode, s.FaultAt, m.UpdatedAt, err, s.FaultTrace)
	}
	for _, other := range h.Others {
		h.put(t, h.service(t, other).ID, nova.ServiceUpdate{Disabled: new(false)})
	}
	for _, other := range h.Others {
		h.wait(t, "trait of "+string(other), func() bool {
			on, err := h.API.ComputeStatusDisabled(h.ctx(t), other)
			return h.NoPlacement || (err == nil && !on)
		})
	}
}

// evacuation moves them all. The first one was tried before; the last one was
// stopped and must stay so.
func (h Harness) evacuation(t *testing.T, servers []nova.ServerID) {
	requests := map[nova.ServerID]string{}
	for _, server := range servers {
		requestID, err := h.API.Evacuate(h.ctx(t), server, nova.Target{})
		if err != nil || !strings.HasPrefix(requestID, "req-") {
			t.Fatalf("evacuate: request %q, %v", requestID, err)
		}
		requests[server] = requestID
		if m, ok := h.row(t, server); !ok || m.Type != "evacuation" || m.Source != h.Source || m.CreatedAt.IsZero() {
			t.Errorf("right after the POST the row is %+v", m)
		}
	}
	for i, server := range servers {
		h.wait(t, "evacuation of "+string(server), func() bool {
			m, _ := h.row(t, server)
			if m.Status.Terminal() && m.Status != nova.MigrationDone {
				t.Fatalf("row ended as %+v", m)
			}
			return m.Status == nova.MigrationDone
		})
		m, _ := h.row(t, server)
		state := nova.VMActive
		if i == len(servers)-1 {
			state = nova.VMStopped
		}
		got, err := h.API.Server(h.ctx(t), server)
		if err != nil || got.Host == h.Source || got.Host != m.Dest || got.VMState != state || got.TaskState != "" {
			t.Errorf("after done: %+v, %v; row %+v", got, err, m)
		}
		if m.UpdatedAt.IsZero() {
			t.Error("a row that is done was never updated")
		}
		h.loggedAs(t, server, requests[server], map[bool]int{true: 2, false: 1}[i == 0])
	}
	if left, err := h.API.Servers(h.ctx(t), h.Source); err != nil || len(left) != 0 {
		t.Errorf("left on the source: %v, %v", left, err)
	}
	h.changed(t, servers)
	h.claimed(t, servers, true)
}

// changed: what was evacuated since is on one list, as it is when it is read alone.
func (h Harness) changed(t *testing.T, servers []nova.ServerID) {
	t.Helper()
	first, _ := h.row(t, servers[0])
	list, err := h.API.ServersSince(h.ctx(t), first.CreatedAt)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range servers {
		alone, err := h.API.Server(h.ctx(t), id)
		i := slices.IndexFunc(list, func(s nova.Server) bool { return s.ID == id })
		if err != nil || i < 0 || list[i].Host != alone.Host || list[i].VMState != alone.VMState || list[i].TaskState != alone.TaskState {
			t.Errorf("read alone %+v, %v; at place %d of %+v", alone, err, i, list)
		}
	}
	if late, err := h.API.ServersSince(h.ctx(t), time.Now().Add(time.Hour)); err != nil || len(late) > 0 {
		t.Errorf("changed an hour from now: %+v, %v", late, err)
	}
}

// claimed: Placement gives an evacuated server room at its source too, until the
// nova-compute there has cleaned up.
func (h Harness) claimed(t *testing.T, servers []nova.ServerID, want bool) {
	t.Helper()
	if h.NoPlacement {
		return
	}
	claims, err := h.API.Claims(h.ctx(t), h.Source)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range servers {
		if slices.Contains(claims, id) != want {
			t.Errorf("Placement's allocations on %s are of %v; of %s: want %t", h.Source, claims, id, want)
		}
	}
}

// loggedAs: the request id that the POST returned is the one in Nova's action
// log. This is how a POST without an answer is found again.
func (h Harness) loggedAs(t *testing.T, server nova.ServerID, requestID string, times int) {
	t.Helper()
	actions, err := h.API.Actions(h.ctx(t), server)
	if err != nil {
		t.Fatal(err)
	}
	var log []nova.InstanceAction
	for _, a := range actions {
		if a.Action == "evacuate" {
			log = append(log, a)
		}
	}
	if len(log) != times || log[0].RequestID != requestID || log[0].StartedAt.IsZero() {
		t.Errorf("the log has %+v, newest first; want %d, the newest %s", log, times, requestID)
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
	h.claimed(t, servers, false)
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
