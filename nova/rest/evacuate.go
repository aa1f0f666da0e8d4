package rest

import (
	"context"
	"net/http"
	"net/url"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// nothing is an action without arguments; it must be {} and not null.
type nothing struct{}

// Evacuate asks Nova once to rebuild a server elsewhere, and returns Nova's
// request id, on failure too if there was an answer.
//
// This is not idempotent: since Zed the API does not look at task_state, and a
// second POST is a second evacuation that ends the server in ERROR
// (compute/api.py, API.evacuate). The caller must hold a proof that the source
// is off, must have journalled its intent, and after a fault that is not
// Definite must read Evacuations and Actions before it thinks of another one.
// Without a host the scheduler chooses; one that is named is asked whether its
// filters let it through, and the row bears its name from the start. Force takes the
// last microversion that has it (2.67): filters are not asked, Placement still is. The
// answer is 200 and empty.
func (c *Client) Evacuate(ctx context.Context, id nova.ServerID, to nova.Target) (requestID string, err error) {
	name := "evacuate"
	if to.Force {
		name = "evacuate by force"
	}
	return c.act(ctx, name, "evacuate server "+string(id), id, struct {
		Evacuate nova.Target `json:"evacuate"`
	}{to})
}

// LiveMigrate asks Nova once to move a running server to a host, which its scheduler is
// asked about (from 2.30 on, without force); "": the scheduler chooses one. The answer is
// 202 and empty; the row tells.
func (c *Client) LiveMigrate(ctx context.Context, id nova.ServerID, to nova.HostName) (requestID string, err error) {
	var host any // null: any
	if to != "" {
		host = to
	}
	return c.act(ctx, "live_migrate", "live-migrate server "+string(id), id, struct {
		Migrate map[string]any `json:"os-migrateLive"`
	}{map[string]any{"host": host, "block_migration": "auto"}})
}

// Reset puts a server into state error and takes its task away, so that Nova
// evacuates what it was not willing to. Nova has written it by the time it answers
// (compute/api.py, reset_state). It must never meet a rebuild that is on its way.
func (c *Client) Reset(ctx context.Context, id nova.ServerID) (requestID string, err error) {
	type state struct {
		State string `json:"state"`
	}
	return c.act(ctx, "reset", "reset the state of server "+string(id), id, struct {
		Reset state `json:"os-resetState"`
	}{state{"error"}})
}

// Start powers a stopped server on, on its own host.
func (c *Client) Start(ctx context.Context, id nova.ServerID) (requestID string, err error) {
	return c.act(ctx, "start", "start server "+string(id), id, struct {
		Start *nothing `json:"os-start"`
	}{})
}

// Stop powers a running server off: an evacuation of one that was in ERROR
// comes up running even if it had been stopped before.
func (c *Client) Stop(ctx context.Context, id nova.ServerID) (requestID string, err error) {
	return c.act(ctx, "stop", "stop server "+string(id), id, struct {
		Stop *nothing `json:"os-stop"`
	}{})
}

func (c *Client) act(ctx context.Context, name, doing string, id nova.ServerID, body any) (string, error) {
	if id == "" {
		return "", refuse(doing, "no server named")
	}
	v, err := c.negotiated(ctx)
	if err != nil {
		return "", unsentWrite(doing, err)
	}
	version := v.action
	switch name {
	case "evacuate", "live_migrate": // 2.68 took force from both
		version = v.evacuate
	case "evacuate by force":
		name, version = "evacuate", v.force
	}
	a, err := c.call(ctx, request{
		name: name, doing: doing, service: "compute", version: version, method: http.MethodPost,
		path: "servers/" + url.PathEscape(string(id)) + "/action", body: body,
	})
	if err != nil {
		return nova.RequestIDOf(err), err
	}
	c.log.Info("server action accepted", "action", name, "server", string(id), "request_id", a.requestID)
	return a.requestID, nil
}

// unsentWrite is the error of a write that never came to be sent because a
// read before it failed, whatever that read's own fault was.
func unsentWrite(doing string, err error) error {
	e := fault(err)
	if e == nil {
		return err
	}
	kind := nova.FaultUnsent
	if e.Fault.Definite() {
		kind = e.Fault
	}
	return &nova.Error{Doing: doing, Fault: kind, Status: e.Status, RequestID: e.RequestID, Err: e}
}
