// Package rest speaks to Keystone, Nova and Placement for Lifeboat. It is the
// only importer of gophercloud, of which it takes the authentication and the
// plumbing of a request, and none of the compute packages: those cannot send
// forced_down:false, cannot read an evacuation's empty answer, lose a whole
// list to one row of an unreachable cell, and repeat a POST if asked to retry.
//
// It decides nothing. It never repeats a write, never follows a redirect,
// never lets a call run without a deadline, and says of every failure whether
// the write may have taken effect.
package rest

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Client is one account on one cloud. It is safe for concurrent use.
type Client struct {
	opts      Options
	now       func() time.Time
	log       *slog.Logger
	auth      gophercloud.AuthOptions
	secrets   []string
	provider  *gophercloud.ProviderClient // holds the token; no ReauthFunc, no RetryFunc
	identity  *endpoints
	compute   *endpoints
	placement *endpoints
	glance    *endpoints
	cinder    *endpoints
	neutron   *endpoints

	mu       sync.Mutex
	versions *versions                  // nil until negotiated
	nodes    map[nova.HostName][]string // resource providers of each host
	nodesDue time.Time                  // the list of nodes is not read for a strange one before
	groups   map[nova.ServerID][]string // server groups of each server
	policies map[string]string          // of the groups
	groupsAt time.Time                  // when groups were read
	images   map[string]image           // properties by image id
	token    struct{ issued, expires time.Time }
	renewal  *renewal // the one in flight

	kick chan struct{}
	stop context.CancelFunc
	done chan struct{} // closed when the renewing goroutine has ended
}

// Connect reads the credentials, logs in, finds the endpoints and agrees on
// microversions. The Client owns a goroutine that renews the token ahead of
// its end, until Close.
func Connect(ctx context.Context, o Options) (*Client, error) {
	if o.Now == nil {
		return nil, errors.New("nova: connect: no clock in Options.Now")
	}
	if err := o.Validate(); err != nil {
		return nil, refuse("connect to OpenStack", err.Error())
	}
	creds, err := readCredentials(o)
	if err != nil {
		return nil, refuse("read OpenStack credentials", err.Error())
	}
	c := newClient(o, creds)
	ctx, cancel := c.bound(ctx)
	defer cancel()
	catalog, err := c.login(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.locate(catalog, creds); err != nil {
		return nil, err
	}
	if _, err := c.negotiated(ctx); err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.Background())
	c.stop = stop
	go c.keepToken(background)
	return c, nil
}

func newClient(o Options, creds credentials) *Client {
	if o.Timeout == 0 {
		o.Timeout = Default().Timeout
	}
	c := &Client{
		opts: o, now: o.Now, log: o.Log, auth: creds.auth, secrets: creds.secrets(),
		identity: newEndpoints(slices.Concat(o.AuthEndpoints, []string{creds.auth.IdentityEndpoint}), identityBase),
		nodes:    map[nova.HostName][]string{},
		images:   map[string]image{},
		kick:     make(chan struct{}, 1),
		done:     make(chan struct{}),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.auth.AllowReauth = false // renewed by keepToken, never inside a request
	c.provider = &gophercloud.ProviderClient{HTTPClient: httpClient(o, creds.tls)}
	c.provider.UserAgent.Prepend("lifeboat")
	c.provider.UseTokenLock()
	return c
}

func httpClient(o Options, conf *tls.Config) http.Client {
	transport := newTransport(conf)
	if o.Transport != nil {
		transport = split{read: o.Transport, write: o.Transport}
	}
	return http.Client{
		Transport: transport,
		// A redirected POST would be sent twice, and a redirected GET would
		// carry the token to whatever host the answer names.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close ends the renewing goroutine and waits for it.
func (c *Client) Close() error {
	c.stop()
	<-c.done
	c.provider.HTTPClient.CloseIdleConnections()
	return nil
}

// bound gives every call a deadline.
func (c *Client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.opts.Timeout)
}
