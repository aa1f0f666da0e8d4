package rest

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// patience is how long a read waits for an endpoint while another one is left
// to ask. The last one gets all that remains of the caller's deadline.
const patience = 5 * time.Second

// request is one call, independent of which endpoint answers it.
type request struct {
	name    string // for metrics: one word
	doing   string // for errors: what a person would say
	service string // compute, placement, image, volume or network
	method  string
	path    string // with its query, no leading slash
	version string // microversion; empty sends none
	body    any
	into    any
}

// answer is what a success carries beside its body.
type answer struct {
	requestID string
	date      time.Time // the API's own clock, zero if it did not say
}

func (c *Client) get(ctx context.Context, r request) (answer, error) {
	r.method = http.MethodGet
	return c.call(ctx, r)
}

// call asks the endpoints in order. A read moves on from an endpoint that does
// not answer; a write moves on only if not a byte of it was sent.
func (c *Client) call(ctx context.Context, r request) (answer, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	began := c.now()
	fleet := c.compute
	switch r.service {
	case "placement":
		fleet = c.placement
	case "image":
		fleet = c.glance
	case "volume":
		fleet = c.cinder
	case "network":
		fleet = c.neutron
	}
	order := fleet.order(began)
	if len(order) == 0 {
		return answer{}, refuse(r.doing, "no "+r.service+" endpoint is known")
	}
	var last *nova.Error
	for i, base := range order {
		attempt, stop := ctx, context.CancelFunc(func() {})
		if r.method == http.MethodGet {
			attempt, stop = patient(ctx, len(order)-i)
		}
		a, err := c.ask(attempt, base, r)
		stop()
		if err == nil {
			fleet.answered(base)
			c.observe(r.name, began, nil)
			return a, nil
		}
		last = err
		if !silent(err) {
			break
		}
		fleet.failed(base, c.now())
		if ctx.Err() != nil || (r.method != http.MethodGet && err.Fault != nova.FaultUnsent) {
			break
		}
	}
	if last.Status == http.StatusNotAcceptable {
		c.forget()
	}
	c.observe(r.name, began, last)
	return answer{}, last
}

// silent says that the endpoint, not the request, is what is wrong.
func silent(err *nova.Error) bool {
	switch err.Fault {
	case nova.FaultUnsent, nova.FaultTimeout:
		return true
	case nova.FaultUnknown:
		return err.Status == 0 || err.Status == http.StatusBadGateway ||
			err.Status == http.StatusServiceUnavailable || err.Status == http.StatusGatewayTimeout
	default:
		return false // it answered
	}
}

func patient(ctx context.Context, left int) (context.Context, context.CancelFunc) {
	if left <= 1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, patience)
}

// ask sends r to one endpoint. After a 401 it is sent once more with a new
// token, writes too: keystonemiddleware turned the first one away before Nova
// saw it. A read that was cut off without an answer is sent once more, since
// uWSGI resets kept-alive connections now and then.
func (c *Client) ask(ctx context.Context, base string, r request) (answer, *nova.Error) {
	token := c.tokenNow()
	a, err := c.send(ctx, base, r)
	if err != nil && err.Fault == nova.FaultAuth {
		if c.tokenNow() == token {
			if fail := c.Renew(ctx); fail != nil {
				// The request itself was refused and changed nothing, whatever
				// became of the login.
				err.Err = plain{text: err.Err.Error() + "; then " + fail.Error(), cause: contextError(fail)}
				return answer{}, err
			}
		}
		a, err = c.send(ctx, base, r)
	}
	if err != nil && r.method == http.MethodGet && err.Fault == nova.FaultUnknown && err.Status == 0 && ctx.Err() == nil {
		a, err = c.send(ctx, base, r)
	}
	return a, err
}

func (c *Client) send(ctx context.Context, base string, r request) (answer, *nova.Error) {
	sc := &gophercloud.ServiceClient{ProviderClient: c.provider, Endpoint: base, Type: r.service, Microversion: r.version}
	opts := &gophercloud.RequestOpts{JSONBody: r.body, OkCodes: []int{200, 202, 204}}
	if r.into != nil {
		// What an earlier try has left must not shine through: the decoder
		// leaves alone what an answer does not name.
		reflect.ValueOf(r.into).Elem().SetZero()
		opts.JSONResponse = r.into
	}
	resp, err := sc.Request(ctx, r.method, base+r.path, opts)
	if err != nil {
		return answer{}, c.translate(r.doing, err)
	}
	a := answer{requestID: requestID(resp.Header)}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		a.date = at
	}
	return a, nil
}

// observe reports the end of a call.
func (c *Client) observe(call string, began time.Time, err *nova.Error) {
	if c.opts.Observe == nil {
		return
	}
	word := "ok"
	if err != nil {
		word = string(err.Fault)
	}
	c.opts.Observe(call, word, c.now().Sub(began))
}
