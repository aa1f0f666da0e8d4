package fencetest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Knobs are the ways in which a BMC misbehaves. The zero value behaves.
type Knobs struct {
	// Password replaces the one it was made with.
	Password string
	// Lag is how long it reports the old state after a command that it obeyed;
	// Transitional reports PoweringOn or PoweringOff meanwhile.
	Lag          time.Duration
	Transitional bool
	// Empty reports a PowerState of null.
	Empty bool
	// Task answers a reset with 202 and a task.
	Task bool
	// Conflict refuses with 409 what is so already.
	Conflict bool
	// So many requests are answered with 503 and with 401; negative is for
	// ever. The service root stays open.
	Busy, Unauthorized int
	// SelfOn powers a system on again so long after it was powered off: a policy
	// of the BMC, wake-on-LAN, somebody's finger. 0 is never.
	SelfOn time.Duration
	// NotHonoured accepts each reset and does nothing.
	NotHonoured bool
	// LyingOff reports off whatever is true. Nobody can tell by asking it.
	LyingOff bool
	// Nameless tells neither UUID nor serial number.
	Nameless bool
	// Unreachable never answers.
	Unreachable bool
	// Delay is slept before each answer.
	Delay time.Duration
}

// System is one of a BMC's systems. Without a UUID and a serial number of its own it
// has its machine's.
type System struct {
	ID, UUID, Serial string
	Machine          *Machine
}

// Command is a reset that the BMC was sent, obeyed or not.
type Command struct {
	At     time.Time
	System string
	Reset  string
}

// Redfish is an emulated BMC: an http.Handler for httptest, or without a network
// through Transport.
type Redfish struct {
	// Now is the clock of lags and records.
	Now                func() time.Time
	Username, Password string
	Systems            []System

	mu       sync.Mutex
	knobs    Knobs
	changed  map[string]time.Time // when a system last obeyed
	commands []Command
	requests int
}

// SystemPath is the @odata.id of a system.
func SystemPath(id string) string { return "/redfish/v1/Systems/" + id }

// Set turns the knobs.
func (r *Redfish) Set(f func(*Knobs)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.knobs)
}

// Rewire lets the first system speak for another machine, as a wrong cable or a
// wrong inventory does.
func (r *Redfish) Rewire(m *Machine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Systems[0].Machine = m
}

// Reset puts all knobs back.
func (r *Redfish) Reset() { r.Set(func(k *Knobs) { *k = Knobs{} }) }

// Commands are the resets so far.
func (r *Redfish) Commands() []Command {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Command(nil), r.commands...)
}

// Requests counts all requests so far, those of the wrong password too.
func (r *Redfish) Requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// ServeHTTP answers as the BMC.
func (r *Redfish) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.requests++
	k := r.knobs
	r.mu.Unlock()
	if k.Unreachable {
		<-req.Context().Done()
		panic(http.ErrAbortHandler)
	}
	if k.Delay > 0 && !sleep(req.Context(), k.Delay) {
		panic(http.ErrAbortHandler)
	}
	path := strings.TrimRight(req.URL.Path, "/")
	if path == "/redfish/v1" {
		answer(w, http.StatusOK, root)
		return
	}
	if code := r.gate(req); code != 0 {
		refuse(w, code)
		return
	}
	switch id, action := r.find(path); {
	case path == "/redfish/v1/SessionService":
		answer(w, http.StatusOK, map[string]any{"@odata.id": path, "Id": "SessionService", "ServiceEnabled": true})
	case path == "/redfish/v1/Systems":
		r.list(w)
	case id == nil:
		refuse(w, http.StatusNotFound)
	case action && req.Method == http.MethodPost:
		r.reset(w, req, id)
	case !action && req.Method == http.MethodGet:
		r.show(w, id)
	default:
		refuse(w, http.StatusMethodNotAllowed)
	}
}

var root = map[string]any{
	"@odata.id": "/redfish/v1/", "Id": "RootService", "Name": "Root Service", "RedfishVersion": "1.6.0",
	"Systems":        map[string]any{"@odata.id": "/redfish/v1/Systems"},
	"SessionService": map[string]any{"@odata.id": "/redfish/v1/SessionService"},
	"Links":          map[string]any{"Sessions": map[string]any{"@odata.id": "/redfish/v1/SessionService/Sessions"}},
}

// gate gives the status that a request is refused with, or 0.
func (r *Redfish) gate(req *http.Request) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	take := func(n *int) bool {
		if *n > 0 {
			*n--
			return true
		}
		return *n < 0
	}
	if take(&r.knobs.Busy) {
		return http.StatusServiceUnavailable
	}
	password := r.Password
	if r.knobs.Password != "" {
		password = r.knobs.Password
	}
	if u, p, ok := req.BasicAuth(); !ok || u != r.Username || p != password || take(&r.knobs.Unauthorized) {
		return http.StatusUnauthorized
	}
	return 0
}

// find gives the system of a path, and whether the path is its reset.
func (r *Redfish) find(path string) (*System, bool) {
	path, action := strings.CutSuffix(path, resetAction)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.Systems {
		if path == SystemPath(s.ID) {
			return &s, action
		}
	}
	return nil, action
}

const resetAction = "/Actions/ComputerSystem.Reset"

func (r *Redfish) list(w http.ResponseWriter) {
	members := []any{}
	for _, s := range r.Systems {
		members = append(members, map[string]any{"@odata.id": SystemPath(s.ID)})
	}
	answer(w, http.StatusOK, map[string]any{
		"@odata.id": "/redfish/v1/Systems", "Members": members, "Members@odata.count": len(members)})
}

func (r *Redfish) show(w http.ResponseWriter, s *System) {
	path := SystemPath(s.ID)
	if s.UUID == "" && s.Serial == "" {
		s.UUID, s.Serial = s.Machine.UUID, s.Machine.Serial
	}
	r.mu.Lock()
	if r.knobs.Nameless {
		s.UUID, s.Serial = "00000000-0000-0000-0000-000000000000", "To be filled by O.E.M."
	}
	r.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{
		"@odata.id": path, "@odata.type": "#ComputerSystem.v1_5_0.ComputerSystem",
		"Id": s.ID, "Name": "System", "UUID": s.UUID, "SerialNumber": s.Serial, "PowerState": r.state(s),
		"Actions": map[string]any{"#ComputerSystem.Reset": map[string]any{
			"target":                            path + resetAction,
			"ResetType@Redfish.AllowableValues": []string{"On", "ForceOff", "GracefulShutdown", "ForceRestart"},
		}},
	})
}

// state is what the BMC says of a system's power; nil is null.
func (r *Redfish) state(s *System) any {
	on := s.Machine.On()
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.knobs
	switch at, commanded := r.changed[s.ID]; {
	case k.Empty:
		return nil
	case k.LyingOff:
		return "Off"
	case commanded && k.Lag > 0 && r.Now().Before(at.Add(k.Lag)):
		if k.Transitional {
			return word(on, "PoweringOn", "PoweringOff")
		}
		return word(!on, "On", "Off")
	}
	return word(on, "On", "Off")
}

func (r *Redfish) reset(w http.ResponseWriter, req *http.Request, s *System) {
	var body struct{ ResetType string }
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
		refuse(w, http.StatusBadRequest)
		return
	}
	on := s.Machine.On()
	r.mu.Lock()
	k := r.knobs
	r.commands = append(r.commands, Command{At: r.Now(), System: s.ID, Reset: body.ResetType})
	r.mu.Unlock()
	var want bool
	switch body.ResetType {
	case "On", "ForceOn":
		want = true
	case "ForceOff", "GracefulShutdown":
	case "ForceRestart":
		want = true
		if !k.NotHonoured {
			s.Machine.Power(false)
		}
	default:
		refuse(w, http.StatusBadRequest)
		return
	}
	if k.Conflict && on == want {
		refuse(w, http.StatusConflict)
		return
	}
	if !k.NotHonoured && on != want {
		s.Machine.Power(want)
		if !want && k.SelfOn > 0 {
			time.AfterFunc(k.SelfOn, func() { s.Machine.Power(true) })
		}
		r.mu.Lock()
		if r.changed == nil {
			r.changed = map[string]time.Time{}
		}
		r.changed[s.ID] = r.Now()
		r.mu.Unlock()
	}
	if k.Task {
		w.Header().Set("Location", "/redfish/v1/TaskService/Tasks/1")
		answer(w, http.StatusAccepted, map[string]any{"@odata.id": "/redfish/v1/TaskService/Tasks/1", "Id": "1", "TaskState": "Running"})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func word(yes bool, then, otherwise string) string {
	if yes {
		return then
	}
	return otherwise
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}

func refuse(w http.ResponseWriter, code int) {
	answer(w, code, map[string]any{"error": map[string]any{
		"code": "Base.1.8.GeneralError", "message": fmt.Sprintf("emulated: %s", http.StatusText(code))}})
}

// sleep waits unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
