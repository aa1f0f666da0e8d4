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
// The body has no host: the scheduler chooses. The answer is 200 and empty.
func (c *Client) Evacuate(ctx context.Context, id nova.ServerID) (requestID string, err error) {
	return c.act(ctx, "evacuate", "evacuate server "+string(id), id, struct {
		Evacuate nothing `json:"evacuate"`
	}{})
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
	if name == "evacuate" {
		version = v.evacuate
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
