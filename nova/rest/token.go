package rest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	loginTimeout = 15 * time.Second
	// renewRetry is the pause after a failed renewal. The token in hand is
	// kept: Keystone may be what the incident took away.
	renewRetry = 20 * time.Second
)

// renewal is one login in flight; everybody who needs a token waits for it.
type renewal struct {
	done chan struct{}
	err  error
}

// Renew fetches a new token now. Callers that come together share one login.
func (c *Client) Renew(ctx context.Context) error {
	c.mu.Lock()
	r := c.renewal
	if r == nil {
		r = &renewal{done: make(chan struct{})}
		c.renewal = r
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
	c.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return c.translate("renew the token", ctx.Err())
	case <-c.done:
		return c.translate("renew the token", &unsent{errors.New("client closed")})
	}
}

// TokenExpires is when the token in hand ends.
func (c *Client) TokenExpires() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token.expires
}

func (c *Client) tokenNow() string { return c.provider.Token() }

// keepToken renews at half of the token's life, and whenever asked.
func (c *Client) keepToken(ctx context.Context) {
	defer close(c.done)
	wait := c.untilRenewal()
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-c.kick:
			timer.Stop()
		}
		bounded, cancel := context.WithTimeout(ctx, loginTimeout)
		_, err := c.login(bounded)
		cancel()
		c.landed(err)
		wait = c.untilRenewal()
		if err != nil {
			c.log.Warn("token not renewed", "expires", c.TokenExpires(), "error", err)
			wait = renewRetry
		}
	}
}

func (c *Client) untilRenewal() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	half := c.token.expires.Sub(c.token.issued) / 2
	return max(c.token.issued.Add(half).Sub(c.now()), time.Second)
}

// landed tells everybody who waited.
func (c *Client) landed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.renewal != nil {
		c.renewal.err = err
		close(c.renewal.done)
		c.renewal = nil
	}
}

// login asks each Keystone in turn; only a refusal by one of them ends it.
func (c *Client) login(ctx context.Context) (*tokens.ServiceCatalog, error) {
	began := c.now()
	var last *nova.Error
	order := c.identity.order(began)
	for i, base := range order {
		attempt, cancel := patient(ctx, len(order)-i)
		result, err := c.loginAt(attempt, base)
		cancel()
		if err == nil {
			c.identity.answered(base)
			catalog, err := c.keep(result)
			c.observe("login", began, fault(err))
			return catalog, err
		}
		last = c.translate("log in to Keystone at "+base, err)
		if last.Fault == nova.FaultAuth || last.Fault == nova.FaultRefused || last.Fault == nova.FaultBusy || ctx.Err() != nil {
			break
		}
		c.identity.failed(base, c.now())
	}
	c.observe("login", began, last)
	return nil, last
}

func (c *Client) loginAt(ctx context.Context, base string) (tokens.CreateResult, error) {
	sc := &gophercloud.ServiceClient{ProviderClient: c.provider, Endpoint: base, Type: "identity"}
	result := tokens.Create(ctx, sc, &c.auth)
	return result, result.Err
}

// keep installs a token. Its age is counted on our clock from the length that
// Keystone gave it, so that a skewed Keystone does not end it early.
func (c *Client) keep(result tokens.CreateResult) (*tokens.ServiceCatalog, error) {
	const doing = "read Keystone's token"
	token, err := result.ExtractToken()
	if err != nil {
		return nil, c.translate(doing, err)
	}
	if token.ID == "" {
		return nil, unknown(doing, "the answer carries no X-Subject-Token")
	}
	catalog, err := result.ExtractServiceCatalog()
	if err != nil {
		return nil, c.translate(doing, err)
	}
	issued := c.now()
	life := token.ExpiresAt.Sub(issued)
	if at, err := http.ParseTime(result.Header.Get("Date")); err == nil {
		life = token.ExpiresAt.Sub(at)
	}
	c.mu.Lock()
	c.token.issued, c.token.expires = issued, issued.Add(life)
	c.mu.Unlock()
	if err := c.provider.SetTokenAndAuthResult(result); err != nil {
		return nil, c.translate(doing, err)
	}
	return catalog, nil
}

// locate finds compute and placement in the catalog.
func (c *Client) locate(catalog *tokens.ServiceCatalog, creds credentials) error {
	compute := c.opts.Endpoints
	if a := addressOf(catalog, "compute", creds); a != "" {
		compute = slices.Concat(compute, []string{a})
	} else if len(compute) == 0 {
		return refuse("find Nova in Keystone's catalog",
			"no compute endpoint for region \""+creds.region+"\" and interface \""+string(creds.available)+"\"")
	}
	c.compute = newEndpoints(compute, computeBase)
	placement := c.opts.PlacementEndpoints
	if a := addressOf(catalog, "placement", creds); a != "" {
		placement = slices.Concat(placement, []string{a})
	}
	c.placement = newEndpoints(placement, placementBase)
	images := c.opts.ImageEndpoints
	if a := addressOf(catalog, "image", creds); a != "" {
		images = slices.Concat(images, []string{a})
	}
	c.glance = newEndpoints(images, imageBase)
	var volumes []string // the type is block-storage, and was volumev3 for long
	for _, kind := range []string{"block-storage", "volumev3"} {
		if a := addressOf(catalog, kind, creds); a != "" {
			volumes = append(volumes, a)
		}
	}
	c.cinder = newEndpoints(volumes, volumeBase)
	var networks []string
	if a := addressOf(catalog, "network", creds); a != "" {
		networks = append(networks, a)
	}
	c.neutron = newEndpoints(networks, networkBase)
	return nil
}

// addressOf is an endpoint of Keystone's catalog, "" if there is none.
// gophercloud's own search would ask the endpoint for its versions first.
func addressOf(catalog *tokens.ServiceCatalog, service string, creds credentials) string {
	for _, entry := range catalog.Entries {
		if entry.Type != service {
			continue
		}
		for _, e := range entry.Endpoints {
			here := creds.region == "" || e.Region == creds.region || e.RegionID == creds.region
			if here && e.Interface == string(creds.available) && checkURL(e.URL) == nil {
				return e.URL
			}
		}
	}
	return ""
}
