package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/detector/vip/watch"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// checksEvery is how often the leader asks services behind the addresses, checksFresh
	// how long an answer counts.
	checksEvery = 5 * time.Second
	checksFresh = 30 * time.Second
)

// lookBehind asks the services behind the addresses how they are, where this
// controller leads.
func (x *vips) lookBehind(ctx context.Context) {
	if len(x.vips) == 0 || !x.c.leads() {
		return
	}
	checks := x.c.cloud.controlChecks(x.c.clock.Now())
	if x.c.cfg.VIP.Checks.Cinder {
		checks = append(checks, x.c.cloud.volumeChecks(ctx)...)
	}
	switch {
	case x.c.seams.Behind != nil:
		checks = append(checks, x.c.seams.Behind()...)
	case x.c.seams.Network == nil:
		b, err := behindOf(x.c.cfg.VIP.Checks)
		if err != nil {
			x.c.log.Warn("services behind the VIPs are not asked", "reason", err)
		} else {
			checks = append(checks, b.Ask(ctx)...)
			b.Client.CloseIdleConnections()
		}
	}
	slices.SortFunc(checks, func(a, b vip.Check) int { return strings.Compare(string(a.Kind)+a.Node, string(b.Kind)+b.Node) })
	x.mu.Lock()
	defer x.mu.Unlock()
	x.checks, x.checkedAt = checks, x.c.clock.Now()
}

func behindOf(c config.VIPChecks) (*watch.Behind, error) {
	b := &watch.Behind{Galera: c.Galera, Rabbit: c.RabbitMQ.Addresses, User: c.RabbitMQ.Username, Password: c.RabbitMQ.Password.Reveal(), Scheme: "http", Client: &http.Client{
		Transport:     &http.Transport{}, // no proxy: nothing here is beyond the site
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if c.RabbitMQ.CA == "" {
		return b, nil
	}
	pem, err := os.ReadFile(c.RabbitMQ.CA)
	if err != nil {
		return nil, fmt.Errorf("read RabbitMQ's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("RabbitMQ's CA: no certificate in the file")
	}
	b.Scheme, b.Client.Transport = "https", &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	return b, nil
}

// controlChecks are Nova's conductors and schedulers, as it told last; none where that
// was long ago: a Nova that is silent is a condition of its own.
func (c *cloud) controlChecks(now time.Time) []vip.Check {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.sight.At) > checksFresh {
		return nil
	}
	return checksOf(c.control)
}

// volumeChecks are Cinder's cinder-volume services.
func (c *cloud) volumeChecks(ctx context.Context) []vip.Check {
	ctx, cancel := context.WithTimeout(ctx, novaTimeout)
	defer cancel()
	cl, err := c.connected(ctx)
	var all nova.Control
	if err == nil {
		all, err = cl.VolumeServices(ctx)
	}
	if err != nil {
		return []vip.Check{{Kind: vip.VolumeDown, Node: "cinder", State: vip.CheckUnknown, Says: err.Error()}}
	}
	return checksOf(all)
}

func checksOf(all nova.Control) (checks []vip.Check) {
	kinds := map[string]vip.Kind{nova.Conductor: vip.ConductorDown, nova.Scheduler: vip.SchedulerDown, "cinder-volume": vip.VolumeDown}
	states := map[nova.ServiceState]vip.CheckState{nova.StateUp: vip.CheckWell, nova.StateDown: vip.CheckIll}
	for _, s := range all {
		state, known := states[s.State]
		if !known {
			state = vip.CheckUnknown
		}
		checks = append(checks, vip.Check{Kind: kinds[s.Binary], Node: string(s.Host), State: state, Says: s.Binary + " is " + string(s.State)})
	}
	return checks
}
