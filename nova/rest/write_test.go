package rest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// Bodies and microversions are compared byte by byte: Nova refuses unknown
// fields, and a field that is missing (forced_down:false) is a silent no.
func TestWritesAsSent(t *testing.T) {
	const id, server = "5e000000-0000-4000-8000-000000000001", "1a000000-0000-4000-8000-000000000009"
	put := func(u nova.ServiceUpdate) func(context.Context, *Client) {
		return func(ctx context.Context, c *Client) { _, _ = c.UpdateService(ctx, id, u) }
	}
	for name, row := range map[string]struct {
		version string
		do      func(context.Context, *Client)
		want    string
	}{
		"disable":                {"2.93", put(nova.ServiceUpdate{Disabled: new(true), DisabledReason: "lifeboat:7"}), `PUT /os-services/` + id + ` [compute 2.53] {"status":"disabled","disabled_reason":"lifeboat:7"}`},
		"disable and force down": {"2.93", put(nova.ServiceUpdate{Disabled: new(true), DisabledReason: "r", ForcedDown: new(true)}), `PUT /os-services/` + id + ` [compute 2.53] {"status":"disabled","disabled_reason":"r","forced_down":true}`},
		"disable without reason": {"2.93", put(nova.ServiceUpdate{Disabled: new(true)}), `PUT /os-services/` + id + ` [compute 2.53] {"status":"disabled"}`},
		"force down alone":       {"2.93", put(nova.ServiceUpdate{ForcedDown: new(true)}), `PUT /os-services/` + id + ` [compute 2.53] {"forced_down":true}`},
		"no longer forced down":  {"2.93", put(nova.ServiceUpdate{ForcedDown: new(false)}), `PUT /os-services/` + id + ` [compute 2.53] {"forced_down":false}`},
		"enable":                 {"2.93", put(nova.ServiceUpdate{Disabled: new(false)}), `PUT /os-services/` + id + ` [compute 2.53] {"status":"enabled"}`},
		"evacuate":               {"2.93", func(ctx context.Context, c *Client) { _, _ = c.Evacuate(ctx, server, nova.Target{}) }, `POST /servers/` + server + `/action [compute 2.68] {"evacuate":{}}`},
		"evacuate, newest Nova":  {"2.104", func(ctx context.Context, c *Client) { _, _ = c.Evacuate(ctx, server, nova.Target{}) }, `POST /servers/` + server + `/action [compute 2.68] {"evacuate":{}}`},
		"evacuate, old Nova":     {"2.53", func(ctx context.Context, c *Client) { _, _ = c.Evacuate(ctx, server, nova.Target{}) }, `POST /servers/` + server + `/action [compute 2.53] {"evacuate":{}}`},
		"evacuate to a host":     {"2.93", func(ctx context.Context, c *Client) { _, _ = c.Evacuate(ctx, server, nova.Target{Host: "cmp2"}) }, `POST /servers/` + server + `/action [compute 2.68] {"evacuate":{"host":"cmp2"}}`},
		"evacuate by force": {"2.93", func(ctx context.Context, c *Client) {
			_, _ = c.Evacuate(ctx, server, nova.Target{Host: "cmp2", Force: true})
		}, `POST /servers/` + server + `/action [compute 2.67] {"evacuate":{"host":"cmp2","force":true}}`},
		"reset": {"2.93", func(ctx context.Context, c *Client) { _, _ = c.Reset(ctx, server) }, `POST /servers/` + server + `/action [compute 2.53] {"os-resetState":{"state":"error"}}`},
		"start": {"2.93", func(ctx context.Context, c *Client) { _, _ = c.Start(ctx, server) }, `POST /servers/` + server + `/action [compute 2.53] {"os-start":null}`},
		"stop":  {"2.93", func(ctx context.Context, c *Client) { _, _ = c.Stop(ctx, server) }, `POST /servers/` + server + `/action [compute 2.53] {"os-stop":null}`},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, novatest.Options{Version: row.version}, func(w world) {
				before := len(w.cloud.Requests())
				row.do(w.Context(), w.client)
				got := seen(w.cloud, "")[before:]
				if len(got) != 1 || got[0] != row.want {
					t.Errorf("sent\n%s\nwant once\n%s", strings.Join(got, "\n"), row.want)
				}
			})
		})
	}
}

// Updates that make no sense never leave this machine.
func TestSenselessUpdatesAreNotSent(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		before := len(w.cloud.Requests())
		for want, u := range map[string]nova.ServiceUpdate{
			"nothing to change":   {},
			"belongs to":          {DisabledReason: "x", ForcedDown: new(true)},
			"belongs to a":        {DisabledReason: "x", Disabled: new(false)},
			"longer than 255":     {Disabled: new(true), DisabledReason: strings.Repeat("x", 256)},
			"nothing to change\n": {DisabledReason: "x"},
		} {
			_, err := w.client.UpdateService(w.Context(), "id", u)
			wantFault(t, err, nova.FaultRefused, strings.TrimSpace(want))
		}
		_, err := w.client.UpdateService(w.Context(), "", nova.ServiceUpdate{ForcedDown: new(true)})
		wantFault(t, err, nova.FaultRefused)
		_, err = w.client.Evacuate(w.Context(), "", nova.Target{})
		wantFault(t, err, nova.FaultRefused)
		if got := seen(w.cloud, "")[before:]; len(got) != 0 {
			t.Errorf("sent %v", got)
		}
	})
}

// Whatever happens to it, an evacuation is posted once; and the fault says
// whether it may have happened.
func TestEvacuatePostsOnce(t *testing.T) {
	const posts = "/action"
	for name, row := range map[string]struct {
		fault    *novatest.Fault
		timeout  time.Duration
		want     nova.Fault
		definite bool
		rows     int // migrations afterwards: the truth
	}{
		"accepted":                        {nil, time.Minute, "", false, 1},
		"503 of a proxy before":           {&novatest.Fault{Match: posts, Status: 503}, time.Minute, nova.FaultUnknown, false, 0},
		"502 of a proxy after acceptance": {&novatest.Fault{Match: posts, Status: 502, After: true}, time.Minute, nova.FaultUnknown, false, 1},
		"504 of a proxy after acceptance": {&novatest.Fault{Match: posts, Status: 504, After: true}, time.Minute, nova.FaultUnknown, false, 1},
		"500":                             {&novatest.Fault{Match: posts, Status: 500}, time.Minute, nova.FaultUnknown, false, 0},
		"reset before":                    {&novatest.Fault{Match: posts, Reset: true}, time.Minute, nova.FaultUnknown, false, 0},
		"reset after acceptance":          {&novatest.Fault{Match: posts, Reset: true, After: true}, time.Minute, nova.FaultUnknown, false, 1},
		"no answer after acceptance":      {&novatest.Fault{Match: posts, Hang: true, After: true}, 3 * time.Second, nova.FaultTimeout, false, 1},
		"no answer, never accepted":       {&novatest.Fault{Match: posts, Hang: true}, 3 * time.Second, nova.FaultTimeout, false, 0},
		"429 of a proxy":                  {&novatest.Fault{Match: posts, Status: 429}, time.Minute, nova.FaultBusy, true, 0},
		"redirected":                      {&novatest.Fault{Match: posts, Status: 307}, time.Minute, nova.FaultRefused, true, 0},
		"408 of a proxy":                  {&novatest.Fault{Match: posts, Status: 408}, time.Minute, nova.FaultTimeout, false, 0},
		"404 that Nova did not write":     {&novatest.Fault{Match: posts, Status: 404}, time.Minute, nova.FaultRefused, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, novatest.Options{}, func(w world) {
				id := w.cloud.Boot("cmp01", 1)[0]
				w.kill("cmp01")
				if row.fault != nil {
					w.cloud.Inject(*row.fault)
				}
				requestID, err := w.client.Evacuate(w.within(row.timeout), id, nova.Target{})
				wantFault(t, err, row.want)
				if err == nil && !strings.HasPrefix(requestID, "req-") {
					t.Errorf("request id %q", requestID)
				}
				if row.want == nova.FaultTimeout && row.timeout < time.Minute && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the deadline cannot be recognised in %v", err)
				}
				if nova.FaultOf(err).Definite() != row.definite {
					t.Errorf("definite is %v", !row.definite)
				}
				if n := w.cloud.EvacuatePosts(id); n != 1 {
					t.Errorf("%d POSTs", n)
				}
				if n := len(w.cloud.Migrations(id)); n != row.rows {
					t.Errorf("%d rows, want %d", n, row.rows)
				}
			})
		})
	}
}

// Nova's own refusals, in Nova's order, and nothing changed by them.
func TestEvacuateRefused(t *testing.T) {
	for name, row := range map[string]struct {
		boot   novatest.BootOptions
		policy novatest.Policy
		alive  bool
		want   nova.Fault
		text   string
	}{
		"service up":        {alive: true, want: nova.FaultRefused, text: "Compute service of cmp01 is still in use."},
		"paused":            {boot: novatest.BootOptions{VMState: "paused"}, want: nova.FaultConflict, text: "vm_state paused"},
		"suspended":         {boot: novatest.BootOptions{VMState: "suspended"}, want: nova.FaultConflict, text: "vm_state suspended"},
		"rescued":           {boot: novatest.BootOptions{VMState: "rescued"}, want: nova.FaultConflict},
		"resized":           {boot: novatest.BootOptions{VMState: "resized"}, want: nova.FaultConflict},
		"soft-deleted":      {boot: novatest.BootOptions{VMState: "soft-delete"}, want: nova.FaultConflict},
		"building":          {boot: novatest.BootOptions{VMState: nova.VMBuilding, NoLaunch: true}, want: nova.FaultConflict},
		"never booted":      {boot: novatest.BootOptions{VMState: nova.VMError, NoLaunch: true}, want: nova.FaultConflict, text: "invalid state"},
		"state before host": {boot: novatest.BootOptions{VMState: "paused"}, alive: true, want: nova.FaultConflict},
		"not allowed":       {policy: novatest.Policy{Forbid: true}, want: nova.FaultRefused, text: "Policy doesn't allow"},
		"stopped is fine":   {boot: novatest.BootOptions{VMState: nova.VMStopped}},
		"error is fine":     {boot: novatest.BootOptions{VMState: nova.VMError}},
		"locked is fine":    {boot: novatest.BootOptions{Locked: true}},
		"migrating is fine": {boot: novatest.BootOptions{TaskState: nova.TaskMigrating}},
		"deleting is fine":  {boot: novatest.BootOptions{TaskState: "deleting"}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, novatest.Options{}, func(w world) {
				id := w.cloud.Boot("cmp01", 1, row.boot)[0]
				if !row.alive {
					w.kill("cmp01")
				}
				w.cloud.SetPolicy(row.policy)
				requestID, err := w.client.Evacuate(w.Context(), id, nova.Target{})
				wantFault(t, err, row.want, row.text)
				if !strings.HasPrefix(requestID, "req-") {
					t.Errorf("no request id with %v", err)
				}
				if got := len(w.cloud.Migrations(id)); (got == 1) != (row.want == "") {
					t.Errorf("%d rows", got)
				}
			})
		})
	}
}

// A disable alone of a freshly dead host is effective at once and answers after
// a minute; with forced_down in the same PUT it answers at once.
func TestDisableStall(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		s, err := w.client.Service(w.Context(), "cmp01")
		if err != nil {
			t.Fatal(err)
		}
		w.cloud.PowerOff("cmp01")
		began := time.Now()
		_, err = w.client.UpdateService(w.within(2*time.Second), s.ID, nova.ServiceUpdate{Disabled: new(true), DisabledReason: "lifeboat:1"})
		wantFault(t, err, nova.FaultTimeout)
		if waited := time.Since(began); waited != 2*time.Second {
			t.Errorf("waited %v", waited)
		}
		if read, err := w.client.Service(w.Context(), "cmp01"); err != nil || !read.Disabled || read.DisabledReason != "lifeboat:1" {
			t.Errorf("after the time-out it reads %+v, %v", read, err)
		}
		began = time.Now()
		got := w.update("cmp01", nova.ServiceUpdate{Disabled: new(true), DisabledReason: "lifeboat:1", ForcedDown: new(true)})
		if got.State != nova.StateDown || time.Since(began) != 0 {
			t.Errorf("both in one: %+v after %v", got, time.Since(began))
		}
	})
}

// The unanswered RPC of a disable waits for the compute: it marks itself
// disabled in Placement although it is enabled, until its periodic task.
func TestDisabledTraitTrap(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		w.cloud.PowerOff("cmp01")
		s, _ := w.client.Service(w.Context(), "cmp01")
		_, _ = w.client.UpdateService(w.within(2*time.Second), s.ID, nova.ServiceUpdate{Disabled: new(true)})
		w.update("cmp01", nova.ServiceUpdate{ForcedDown: new(true)})
		w.update("cmp01", nova.ServiceUpdate{Disabled: new(false)})
		w.cloud.PowerOn("cmp01")
		w.cloud.RestartCompute("cmp01")
		if got := w.update("cmp01", nova.ServiceUpdate{ForcedDown: new(false)}); got.State != nova.StateUp || got.Disabled {
			t.Fatalf("back: %+v", got)
		}
		if on, err := w.client.ComputeStatusDisabled(w.Context(), "cmp01"); err != nil || !on {
			t.Errorf("the trap did not spring: %v, %v", on, err)
		}
		time.Sleep(time.Minute)
		if on, err := w.client.ComputeStatusDisabled(w.Context(), "cmp01"); err != nil || on {
			t.Errorf("the periodic task did not correct it: %v, %v", on, err)
		}
		_, err := w.client.ComputeStatusDisabled(w.Context(), "nowhere")
		wantFault(t, err, nova.FaultNotFound)
	})
}

func TestStartAndStop(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		id := w.cloud.Boot("cmp01", 1)[0]
		if _, err := w.client.Stop(w.Context(), id); err != nil {
			t.Fatal(err)
		}
		if s, _ := w.client.Server(w.Context(), id); s.VMState != nova.VMStopped || s.PowerState != nova.PowerShutdown || s.Status != "SHUTOFF" {
			t.Errorf("stopped: %+v", s)
		}
		_, err := w.client.Stop(w.Context(), id)
		wantFault(t, err, nova.FaultConflict)
		if _, err := w.client.Start(w.Context(), id); err != nil {
			t.Fatal(err)
		}
		if copies := w.cloud.Copies()[id]; !slices.Equal(copies, []nova.HostName{"cmp01"}) {
			t.Errorf("runs on %v", copies)
		}
	})
}

// A 401 is answered by a new token and the same POST once more: Keystone's
// middleware turned the first one away before Nova saw it.
func TestExpiredTokenInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := connected(t, novatest.Options{})
		cloud.AddHost("cmp01")
		cloud.AddHost("cmp02")
		id := cloud.Boot("cmp01", 1)[0]
		w := world{t, cloud, client}
		w.kill("cmp01")
		cloud.RevokeTokens()
		if _, err := client.Evacuate(t.Context(), id, nova.Target{}); err != nil {
			t.Fatal(err)
		}
		if n := len(cloud.Migrations(id)); n != 1 {
			t.Errorf("%d rows", n)
		}
		cloud.RevokeTokens()
		cloud.SetKeystone(false)
		_, err := client.Evacuate(t.Context(), id, nova.Target{})
		wantFault(t, err, nova.FaultAuth)
		if !nova.FaultOf(err).Definite() || len(cloud.Migrations(id)) != 1 {
			t.Error("a POST that was turned away must be a definite no")
		}
	})
}
