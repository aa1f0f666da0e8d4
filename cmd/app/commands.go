package app

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// ID is this controller's.
func (c *Controller) ID() string { return c.id }

// Leads says that this controller leads as far as it knows.
func (c *Controller) Leads() bool { return c.leads() }

// State is a copy of the replicated state that nobody changes.
func (c *Controller) State() *evacuate.State { return c.machine.Copy() }

// Verdicts are this controller's last verdicts; the leader's count.
func (c *Controller) Verdicts() map[nova.HostName]detector.Verdict { return c.observer.last() }

// RingSize is how many members of the ring this controller sees alive.
func (c *Controller) RingSize() int { return c.ringView().Alive }

// NewToken makes a one-time permission for a host to enrol. It is shown once;
// the ledger keeps a hash.
func (c *Controller) NewToken(ctx context.Context, host nova.HostName, valid time.Duration) (string, error) {
	ca, err := os.ReadFile(c.cfg.TLS.CA)
	if err != nil {
		return "", fmt.Errorf("read the CA: %w", err)
	}
	fp, err := identity.Fingerprint(ca)
	if err != nil {
		return "", err
	}
	t, err := identity.NewToken(fp)
	if err != nil {
		return "", err
	}
	now := c.clock.Now()
	err = c.apply(ctx, evacuate.Entry{Kind: evacuate.KindTokenCreate, At: now, By: c.id, Host: host,
		Token: &evacuate.Token{ID: t.ID, Hash: t.Hash(), Host: host, Expires: now.Add(valid)}})
	if err != nil {
		return "", err
	}
	return t.Reveal(), nil
}

// Return asks a recovered host back into service.
func (c *Controller) Return(ctx context.Context, host nova.HostName, by string) error {
	r := c.State().Open(host)
	if r == nil {
		return fmt.Errorf("%s has no open recovery: nothing to return from", host)
	}
	return c.apply(ctx, evacuate.Entry{Kind: evacuate.KindReturn, At: c.clock.Now(), By: by, Recovery: r.ID,
		Text: "asked back by " + by, Return: &evacuate.Return{Asked: c.clock.Now(), By: by, Reason: "asked back"}})
}
