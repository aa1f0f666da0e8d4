package novatest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

type (
	// Reads is what Lifeboat asks of Nova about itself and its hosts.
	Reads interface {
		Services(ctx context.Context) ([]nova.Service, time.Time, error)
		Service(ctx context.Context, host nova.HostName) (nova.Service, error)
		ControlServices(ctx context.Context) (nova.Control, error)
		Ping(ctx context.Context) error
		ComputeStatusDisabled(ctx context.Context, host nova.HostName) (bool, error)
		Claims(ctx context.Context, host nova.HostName) ([]nova.ServerID, error)
		Rooms(ctx context.Context) (map[nova.HostName]nova.Room, error)
		Aggregates(ctx context.Context) ([]nova.Aggregate, error)
	}
	// ReadsServers is what it asks about servers and their evacuations.
	ReadsServers interface {
		Servers(ctx context.Context, host nova.HostName) ([]nova.Server, error)
		Server(ctx context.Context, id nova.ServerID) (nova.Server, error)
		ServersSince(ctx context.Context, since time.Time) ([]nova.Server, error)
		Volumes(ctx context.Context, id nova.ServerID) ([]nova.Volume, error)
		Ports(ctx context.Context, id nova.ServerID) ([]nova.Port, error)
		AllServersByHost(ctx context.Context) (map[nova.HostName][]nova.ServerID, error)
		Evacuations(ctx context.Context, source nova.HostName) ([]nova.Migration, error)
		Actions(ctx context.Context, id nova.ServerID) ([]nova.InstanceAction, error)
	}
	// Writes is all that it ever changes.
	Writes interface {
		UpdateService(ctx context.Context, id string, u nova.ServiceUpdate) (nova.Service, error)
		Evacuate(ctx context.Context, id nova.ServerID, to nova.Target) (requestID string, err error)
		Reset(ctx context.Context, id nova.ServerID) (requestID string, err error)
		Stop(ctx context.Context, id nova.ServerID) (requestID string, err error)
	}
	// Moves is what failback, reserved hosts and the forgetting of a host ask and change beside that.
	Moves interface {
		JoinAggregate(ctx context.Context, id int, host nova.HostName) error
		LeaveAggregate(ctx context.Context, id int, host nova.HostName) error
		LiveMigrate(ctx context.Context, id nova.ServerID, to nova.HostName) (requestID string, err error)
		LiveMigrations(ctx context.Context, source nova.HostName) ([]nova.Migration, error)
		Providers(ctx context.Context, host nova.HostName) ([]string, error)
		Release(ctx context.Context, id nova.ServerID, providers []string) error
		DeleteService(ctx context.Context, id string) error
		DeleteProvider(ctx context.Context, id string) error
	}
)

// API is the adapter under test.
type API interface {
	Reads
	ReadsServers
	Writes
	Moves
}

// Harness is a cloud to prove the adapter on: the emulator, or a real Nova.
type Harness struct {
	API API
	// Source is a host with room that may be killed; Others can take its load.
	Source nova.HostName
	Others []nova.HostName
	// Boot puts n running servers on a host and waits for them.
	Boot func(t *testing.T, host nova.HostName, n int) []nova.ServerID
	// Aggregate makes an empty aggregate without a zone, and gives its number.
	Aggregate func(t *testing.T) int
	// Provide puts a provider below a host's in Placement, with a trait and so much of a class.
	Provide func(t *testing.T, host nova.HostName, trait, class string, n int)
	// Kill cuts the host's power; Restart brings it and nova-compute back.
	Kill, Restart func(t *testing.T, host nova.HostName)
	// Patience bounds one evacuation; Pause is slept between two looks.
	Patience, Pause time.Duration
	// Run runs a part; t.Run if nil, which a bubble of virtual time forbids.
	Run func(t *testing.T, name string, f func(t *testing.T))
	// NoPlacement skips what needs Placement's API.
	NoPlacement bool
}

// Contract is what the adapter and Nova must agree on. The emulator passes it
// in every test run; a real Nova when one is given (test/contract).
func Contract(t *testing.T, h Harness) {
	if h.Run == nil {
		h.Run = func(t *testing.T, name string, f func(t *testing.T)) { t.Run(name, f) }
	}
	h.Run(t, "services", h.services)
	h.Run(t, "aggregates", h.aggregates)
	h.Run(t, "update", h.update)
	if !h.NoPlacement {
		h.Run(t, "providers", h.nested)
	}
	h.Run(t, "members", h.members)
	h.Run(t, "refusals", h.refusals)
	h.Run(t, "live migration", h.live)
	servers := h.Boot(t, h.Source, 3)
	h.Run(t, "servers", func(t *testing.T) { h.servers(t, servers) })
	h.Run(t, "stall", h.stall)
	h.Run(t, "no host", func(t *testing.T) { h.noHost(t, servers[0]) })
	h.Run(t, "evacuation", func(t *testing.T) { h.evacuation(t, servers) })
	h.Run(t, "devices", func(t *testing.T) { h.devices(t, servers[0]) })
	h.Run(t, "release", func(t *testing.T) { h.release(t, servers[0]) })
	h.Run(t, "return", func(t *testing.T) { h.comesBack(t, servers) })
	h.Run(t, "forget", func(t *testing.T) { h.forget(t, servers[0]) })
}

func (h Harness) ctx(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (h Harness) service(t *testing.T, host nova.HostName) nova.Service {
	t.Helper()
	s, err := h.API.Service(h.ctx(t), host)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (h Harness) services(t *testing.T) {
	list, apiNow, err := h.API.Services(h.ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	if apiNow.IsZero() {
		t.Error("no clock of the API")
	}
	for _, want := range append([]nova.HostName{h.Source}, h.Others...) {
		i := slices.IndexFunc(list, func(s nova.Service) bool { return s.Host == want })
		if i < 0 {
			t.Fatalf("host %s is not listed", want)
		}
		s := list[i]
		// "up" it reads from its creation on, without a time until its first report, one
		// report_interval (10 s) later.
		h.wait(t, "first report of "+string(want), func() bool { s = h.service(t, want); return !s.UpdatedAt.IsZero() })
		if s.ID == "" || s.State != nova.StateUp || s.Disabled || s.ForcedDown || s.Zone == "" || s.UpdatedAt.IsZero() {
			t.Errorf("a healthy host reads as %+v", s)
		}
		if s.ID != list[i].ID {
			t.Errorf("Service gives %+v, Services %+v", s, list[i])
		}
	}
	if _, err := h.API.Service(h.ctx(t), "no-such-host"); nova.FaultOf(err) != nova.FaultNotFound {
		t.Errorf("a host that is not there: %v", err)
	}
	control, err := h.API.ControlServices(h.ctx(t))
	if err != nil || !control.CanSchedule() {
		t.Errorf("control services %+v: %v", control, err)
	}
	if err := h.API.Ping(h.ctx(t)); err != nil {
		t.Error(err)
	}
}

// aggregates: whatever there are, each has a name, and hosts that Nova knows.
func (h Harness) aggregates(t *testing.T) {
	list, err := h.API.Aggregates(h.ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.Name == "" || a.Metadata == nil {
			t.Errorf("an aggregate reads as %+v", a)
		}
		for _, host := range a.Hosts {
			h.service(t, host)
		}
	}
}

func (h Harness) put(t *testing.T, id string, u nova.ServiceUpdate) nova.Service {
	t.Helper()
	s, err := h.API.UpdateService(h.ctx(t), id, u)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (h Harness) update(t *testing.T) {
	id := h.service(t, h.Source).ID
	reason := "lifeboat:contract"
	got := h.put(t, id, nova.ServiceUpdate{Disabled: new(true), DisabledReason: reason})
	if !got.Disabled || got.DisabledReason != reason || got.ForcedDown || got.State != nova.StateUp {
		t.Errorf("disabled alone: %+v", got)
	}
	if !h.NoPlacement {
		h.trait(t, true)
		h.room(t, true)
	}
	got = h.put(t, id, nova.ServiceUpdate{Disabled: new(true), DisabledReason: reason, ForcedDown: new(true)})
	if !got.Disabled || !got.ForcedDown || got.State != nova.StateDown {
		t.Errorf("disabled and forced down: %+v", got)
	}
	if read := h.service(t, h.Source); read.DisabledReason != reason || !read.ForcedDown || read.State != nova.StateDown {
		t.Errorf("read back: %+v", read)
	}
	// The same again is accepted: what is assigned counts as changed.
	h.put(t, id, nova.ServiceUpdate{Disabled: new(true), DisabledReason: reason, ForcedDown: new(true)})
	got = h.put(t, id, nova.ServiceUpdate{ForcedDown: new(false)})
	if got.ForcedDown || got.State != nova.StateUp || !got.Disabled {
		t.Errorf("forced_down:false: %+v", got)
	}
	got = h.put(t, id, nova.ServiceUpdate{Disabled: new(false)})
	if got.Disabled || got.DisabledReason != "" || got.State != nova.StateUp {
		t.Errorf("enabled: %+v", got)
	}
	if !h.NoPlacement {
		h.trait(t, false)
		h.room(t, false)
	}
}

// room is what Placement tells of all hosts at once.
func (h Harness) room(t *testing.T, disabled bool) {
	t.Helper()
	rooms := h.rooms(t)
	for _, host := range append([]nova.HostName{h.Source}, h.Others...) {
		r, known := rooms[host]
		if !known || r.Left.VCPUs < 1 || r.Left.RAMMiB < 1 || r.Disabled != (disabled && host == h.Source) {
			t.Errorf("room on %s: %+v, known %t", host, r, known)
		}
	}
}

// trait waits for the compute's own mark in Placement.
func (h Harness) trait(t *testing.T, want bool) {
	t.Helper()
	h.wait(t, "the trait in Placement", func() bool {
		got, err := h.API.ComputeStatusDisabled(h.ctx(t), h.Source)
		if err != nil {
			t.Fatal(err)
		}
		return got == want
	})
}

// wait looks until ready, for as long as an evacuation may take.
func (h Harness) wait(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for range int(h.Patience/h.Pause) + 1 {
		if ready() {
			return
		}
		time.Sleep(h.Pause)
	}
	t.Fatalf("%s: not after %v", what, h.Patience)
}

func (h Harness) refusals(t *testing.T) {
	id := h.service(t, h.Source).ID
	const nobody = "11111111-1111-4111-8111-111111111111"
	up := h.Boot(t, h.Others[0], 1)[0]
	_, evacuateUp := h.API.Evacuate(h.ctx(t), up, nova.Target{})
	_, evacuateNobody := h.API.Evacuate(h.ctx(t), nobody, nova.Target{})
	_, updateNobody := h.API.UpdateService(h.ctx(t), nobody, nova.ServiceUpdate{ForcedDown: new(true)})
	_, updateNothing := h.API.UpdateService(h.ctx(t), id, nova.ServiceUpdate{})
	_, showNobody := h.API.Server(h.ctx(t), nobody)
	_, actionsNobody := h.API.Actions(h.ctx(t), nobody)
	for _, row := range []struct {
		what   string
		err    error
		fault  nova.Fault
		status int
		text   string
	}{
		{"evacuate from a host that is up", evacuateUp, nova.FaultRefused, 400, "still in use"},
		{"evacuate a server that is not there", evacuateNobody, nova.FaultNotFound, 404, nobody},
		{"update a service that is not there", updateNobody, nova.FaultNotFound, 404, nobody},
		{"update nothing", updateNothing, nova.FaultRefused, 0, "nothing to change"},
		{"show a server that is not there", showNobody, nova.FaultNotFound, 404, nobody},
		{"actions of a server that is not there", actionsNobody, nova.FaultNotFound, 404, nobody},
	} {
		e, ok := errors.AsType[*nova.Error](row.err)
		if !ok || e.Fault != row.fault || e.Status != row.status || !strings.Contains(e.Error(), row.text) {
			t.Errorf("%s: %v", row.what, row.err)
		} else if row.status != 0 && !strings.HasPrefix(e.RequestID, "req-") {
			t.Errorf("%s: no request id in %+v", row.what, e)
		}
	}
	if s, err := h.API.Server(h.ctx(t), up); err != nil || s.TaskState != "" {
		t.Errorf("a refused evacuation left %+v, %v", s, err)
	}
}
