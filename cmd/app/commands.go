package app

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// ID is this controller's.
func (c *Controller) ID() string { return c.id }

// Leads says that this controller leads as far as it knows.
func (c *Controller) Leads() bool { return c.leads() }

// Tenure is the term in which this controller leads, as far as it knows: a former
// leader's entries are all applied here.
func (c *Controller) Tenure() (term uint64, leads bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tenure.Term, c.leading
}

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
		return fmt.Errorf("%w: %s has no open recovery to return from", api.ErrNotFound, host)
	}
	return c.apply(ctx, evacuate.Entry{Kind: evacuate.KindReturn, At: c.clock.Now(), By: by, Recovery: r.ID,
		Text: "asked back by " + by, Return: &evacuate.Return{Asked: c.clock.Now(), By: by, Reason: "asked back"}})
}

// Command carries out an operator's command; only the leader can.
func (c *Controller) Command(ctx context.Context, q api.Command) (string, error) {
	if q.By == "" {
		q.By = "an operator"
	}
	text, err := c.command(ctx, q)
	switch {
	case err == nil || errors.Is(err, api.ErrNotFound) || errors.Is(err, api.ErrRefused):
		return text, err
	case ledger.IsNotLeader(err):
		return "", fmt.Errorf("%w: %w", api.ErrNotLeader, err)
	case errors.Is(err, ledger.ErrOutcomeUnknown) || errors.Is(err, ledger.ErrTimeout) || errors.Is(err, ledger.ErrFatal):
		return "", fmt.Errorf("%w: %w", api.ErrNotLeader, err)
	}
	return "", fmt.Errorf("%w: %w", api.ErrRefused, err)
}

func (c *Controller) command(ctx context.Context, q api.Command) (string, error) {
	e := evacuate.Entry{At: c.clock.Now(), By: q.By, Says: q.Says, Host: q.Host, Flag: q.Flag, Text: q.Reason}
	if f := c.modeCommands()[q.Verb]; f != nil {
		return f(ctx, q, e)
	}
	needsHost := map[string]bool{api.VerbMaintenance: true, api.VerbReturn: true, api.VerbRelease: true, api.VerbToken: true, api.VerbHostRemove: true}
	_, configured := c.addresses[q.Host]
	if needsHost[q.Verb] && !configured && c.State().Hosts[q.Host] == nil {
		return "", fmt.Errorf("%w: no host %q in the inventory: add it to `hosts` of the controllers' files", api.ErrNotFound, q.Host)
	}
	switch q.Verb {
	case api.VerbMaintenance:
		e.Kind = evacuate.KindHostMaintenance
		return fmt.Sprintf("maintenance of %s: %t", q.Host, q.Flag), c.apply(ctx, e)
	case api.VerbReturn:
		return string(q.Host) + " is asked back", c.Return(ctx, q.Host, q.By)
	case api.VerbRelease:
		e.Kind = evacuate.KindHostRelease
		return fmt.Sprintf("%s is released from quarantine and its points are forgotten", q.Host), c.apply(ctx, e)
	case api.VerbToken:
		if q.Duration <= 0 {
			q.Duration = time.Hour
		}
		return c.NewToken(ctx, q.Host, q.Duration)
	case api.VerbHostRemove:
		e.Kind = evacuate.KindHostRemove
		err := c.apply(ctx, e)
		if err == nil {
			c.observer.with(func(t *detector.Table) { t.Forget(q.Host) })
			c.receiver.Forget(q.Host)
		}
		return string(q.Host) + " is removed; its key is worth nothing any more", err
	case api.VerbControllerAdd:
		return q.Word + " votes", c.ledger.AddVoter(ctx, ledger.Peer{ID: q.Word, Address: q.Address})
	case api.VerbControllerRemove:
		if err := c.ledger.RemoveVoter(ctx, q.Word); err != nil {
			return "", err
		}
		c.observer.with(func(t *detector.Table) { t.ForgetController(detector.Observer(q.Word)) })
		e.Kind, e.Word = evacuate.KindControllerLeave, q.Word
		return q.Word + " is removed; stop it for good", c.apply(ctx, e)
	case api.VerbRingRotate:
		return c.rotate(ctx, e)
	case api.VerbRingForce, api.VerbRingAbandon:
		return c.ringStep(ctx, e, q.Verb == api.VerbRingAbandon)
	case api.VerbSnapshot:
		b, err := c.ledger.Snapshot(ctx)
		return base64.StdEncoding.EncodeToString(b), err
	case api.VerbRestore:
		return "restored: all proofs are void and the mode is observe", c.ledger.RestoreFrom(ctx, q.Data, q.Flag)
	}
	return "", fmt.Errorf("%w: unknown command %q", api.ErrRefused, q.Verb)
}
