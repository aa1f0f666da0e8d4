// Package redfish reads and commands the power of one system through a Redfish
// BMC: basic authentication (no session to leak), one context per operation, the
// system addressed by its @odata.id.
package redfish

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/redfish"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// Method is the power of one system.
type Method struct {
	o      Options
	client *http.Client
	seen   *memory
}

var (
	_ fence.Method     = (*Method)(nil)
	_ fence.Identifier = (*Method)(nil)
	_ fence.Checker    = (*Method)(nil)
	_ fence.Certified  = (*Method)(nil)
)

// New gives the method, or all faults of o. It asks the BMC nothing.
func New(o Options) (*Method, error) {
	if o.Name == "" {
		o.Name = "redfish"
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.Address = strings.TrimRight(o.Address, "/") // gofish concatenates
	m := &Method{o: o, seen: &memory{}}
	var err error
	if m.client, err = o.client(m.seen); err != nil {
		return nil, err
	}
	return m, nil
}

// Name is the method's name in readings and proofs.
func (m *Method) Name() string { return m.o.Name }

// Expires is when the trust in the BMC's certificate ends, as it was last shown.
func (m *Method) Expires() time.Time {
	if t := m.seen.expires.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// Close lets go of kept connections.
func (m *Method) Close() { m.client.CloseIdleConnections() }

// system is the little we read of a ComputerSystem. gofish's own type decodes
// some hundred fields more, and one of a wrong type would hide the power.
type system struct {
	ODataID      string             `json:"@odata.id"`
	PowerState   redfish.PowerState `json:"PowerState"`
	UUID         text               `json:"UUID"`
	SerialNumber text               `json:"SerialNumber"`
	Actions      struct {
		Reset struct {
			Target  string              `json:"target"`
			Allowed []redfish.ResetType `json:"ResetType@Redfish.AllowableValues"`
		} `json:"#ComputerSystem.Reset"`
	} `json:"Actions"`
}

// text is a string, and "" where the BMC has anything else: it must not hide the power.
type text string

// UnmarshalJSON never fails.
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = text(s)
	}
	return nil
}

// connect opens a client that lives as long as ctx: gofish keeps the context of
// the connection for every request.
func (m *Method) connect(ctx context.Context) (*gofish.APIClient, error) {
	return gofish.ConnectContext(ctx, gofish.ClientConfig{
		Endpoint: m.o.Address, Username: m.o.Username, Password: m.o.Password,
		BasicAuth: true, HTTPClient: m.client,
	})
}

func get(c *gofish.APIClient, path string, into any) error {
	resp, err := c.Get(path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	return json.Unmarshal(data, into)
}

// look reads the declared system, or the only one.
func (m *Method) look(c *gofish.APIClient) (*system, error) {
	path := m.o.System
	if path == "" {
		var err error
		if path, err = only(c); err != nil {
			return nil, err
		}
	}
	s := &system{}
	if err := get(c, path, s); err != nil {
		return nil, err
	}
	if s.ODataID != "" && !strings.EqualFold(strings.Trim(s.ODataID, "/"), strings.Trim(path, "/")) {
		return nil, fmt.Errorf("%w: %s answers as %s", errOther, path, s.ODataID)
	}
	return s, nil
}

// only is the @odata.id of the BMC's one system.
func only(c *gofish.APIClient) (string, error) {
	var list struct {
		Members []struct {
			ID string `json:"@odata.id"`
		} `json:"Members"`
	}
	if err := get(c, "/redfish/v1/Systems", &list); err != nil {
		return "", err
	}
	switch len(list.Members) {
	case 0:
		return "", errNone
	case 1:
		return list.Members[0].ID, nil
	}
	var ids []string
	for _, s := range list.Members {
		ids = append(ids, s.ID)
	}
	return "", fmt.Errorf("%w: name one of %s", errSeveral, strings.Join(ids, ", "))
}

// Power reads the system's power.
func (m *Method) Power(ctx context.Context) fence.Reading {
	r := fence.Reading{Method: m.o.Name, Power: fence.Unknown, Began: m.o.Now()}
	c, err := m.connect(ctx)
	if err == nil {
		var s *system
		if s, err = m.look(c); err == nil {
			r.Power, r.Cause = normalise(s.PowerState)
			r.Raw = m.short(string(s.PowerState))
		}
	}
	r.Ended = m.o.Now()
	if err != nil {
		f := m.failure(ctx, "read power", err)
		r.Cause, r.Raw = f.Cause, m.short(f.Err.Error())
	}
	return r
}

// normalise trusts the two plain words alone.
func normalise(s redfish.PowerState) (fence.Power, fence.Cause) {
	switch s {
	case redfish.OnPowerState:
		return fence.On, fence.CauseNone
	case redfish.OffPowerState:
		return fence.Off, fence.CauseNone
	case redfish.PoweringOnPowerState, redfish.PoweringOffPowerState, redfish.PausedPowerState:
		return fence.Unknown, fence.CauseTransition
	}
	return fence.Unknown, fence.CauseProtocol // empty is null: the BMC does not know
}

func anyMachine(fence.Identity) error { return nil }

// Off forces the system off.
func (m *Method) Off(ctx context.Context) error { return m.OffIf(ctx, anyMachine) }

// OffIf forces the system off unless accept refuses its identity, which comes with
// what the reset needs to know anyway: it costs no request.
func (m *Method) OffIf(ctx context.Context, accept func(fence.Identity) error) error {
	return m.reset(ctx, "power off", fence.Off, accept, redfish.ForceOffResetType)
}

// On powers the system on.
func (m *Method) On(ctx context.Context) error {
	return m.reset(ctx, "power on", fence.On, anyMachine, redfish.OnResetType, redfish.ForceOnResetType)
}

// reset commands the first of types that the BMC lists, else types[0] all the
// same: some list only what suits the present state, and theirs may be stale.
func (m *Method) reset(ctx context.Context, doing string, want fence.Power, accept func(fence.Identity) error, types ...redfish.ResetType) error {
	c, err := m.connect(ctx)
	if err != nil {
		return m.failure(ctx, doing, err)
	}
	s, err := m.look(c)
	if err != nil {
		return m.failure(ctx, doing, err)
	}
	if err := accept(s.identity()); err != nil {
		return m.failure(ctx, doing, fmt.Errorf("%w: %w", errOther, err))
	}
	target := s.Actions.Reset.Target
	if target == "" {
		return m.failure(ctx, doing, errNoReset)
	}
	if !strings.HasPrefix(target, "/") || strings.Contains(target, "/Chassis/") {
		return m.failure(ctx, doing, fmt.Errorf("%w: it resets at %s", errOther, target))
	}
	command := struct {
		ResetType redfish.ResetType
	}{choose(types, s.Actions.Reset.Allowed)}
	resp, err := c.Post(target, command) // 202 with a task is as good: the power is read back
	if err == nil {
		resp.Body.Close()
		return nil
	}
	f := m.failure(ctx, doing, err)
	if f.Cause != fence.CauseProtocol || !clientFault(err) {
		return f
	}
	// BMCs refuse with 400 or 409 what is so already. A 5xx is no such word: the
	// command may be lost, and is sent again.
	if s, err := m.look(c); err == nil {
		if p, _ := normalise(s.PowerState); p == want {
			return nil
		}
	}
	return f
}

func choose(types, allowed []redfish.ResetType) redfish.ResetType {
	for _, t := range types {
		for _, a := range allowed {
			if t == a {
				return t
			}
		}
	}
	return types[0]
}

// Identity gives what the system says it is.
func (m *Method) Identity(ctx context.Context) (fence.Identity, error) {
	c, err := m.connect(ctx)
	if err != nil {
		return fence.Identity{}, m.failure(ctx, "read identity", err)
	}
	s, err := m.look(c)
	if err != nil {
		return fence.Identity{}, m.failure(ctx, "read identity", err)
	}
	return s.identity(), nil
}

func (s *system) identity() fence.Identity {
	return fence.Identity{UUID: string(s.UUID), Serial: string(s.SerialNumber)}.Clean()
}
