package app

import (
	"context"
	"fmt"
	"slices"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/evacuate/runner"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// forgetHost says what forgetting a host would clean, or does it.
func (c *Controller) forgetHost(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	if !c.leads() {
		return "", api.ErrNotLeader
	}
	found, err := c.leftBehind(ctx, q.Host)
	if err != nil {
		return "", err
	}
	w := c.World()
	s := c.State()
	if err := evacuate.CheckForget(found, s, w); err != nil {
		return "", err
	}
	if r := s.Last(q.Host); r != nil {
		found.Recovery = r.ID
	}
	if !q.Flag {
		return found.Text(), nil
	}
	if q.Typed != string(q.Host) {
		return "", fmt.Errorf("%w: its name must be typed again: it is %s, not %q", evacuate.ErrForget, q.Host, q.Typed)
	}
	stage := func(word, text string) error {
		n := e
		n.Kind, n.Word, n.Text, n.At, n.Term, n.Flag = evacuate.KindHostForget, word, text, c.clock.Now(), w.Leader.Term, false
		return c.apply(ctx, n)
	}
	if err := stage(evacuate.ForgetBegins, found.Sum()+because(q.Reason)); err != nil {
		return "", err
	}
	f := &runner.Forget{Found: found, Term: w.Leader.Term, Cleaner: c.cloud, Quorum: ledgerPort{c}, Clock: runnerClock{c.clock}, Log: c.log, Permits: func() (err error) {
		if file := c.frozen(); file != "" {
			return fmt.Errorf("frozen by a local file: %s", file)
		}
		c.machine.Locked(func(s *evacuate.State) { err = s.PermitsForget(q.Host) })
		return err
	}}
	if err := f.Do(ctx); err != nil {
		if serr := stage(evacuate.ForgetFailed, err.Error()); serr != nil {
			c.log.Warn("that a host could not be forgotten is not recorded", "host", q.Host, "reason", serr)
		}
		return "", fmt.Errorf("%w; what was done stays done, ask for it again", err)
	}
	if err := stage(evacuate.ForgetDone, found.Sum()); err != nil {
		return "", err
	}
	c.observer.with(func(t *detector.Table) { t.Forget(q.Host) })
	c.receiver.Forget(q.Host)
	return fmt.Sprintf("%s is forgotten: %s", q.Host, found.Sum()), nil
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// leftBehind reads what Nova and Placement have of a host, and its power.
func (c *Controller) leftBehind(ctx context.Context, host nova.HostName) (f evacuate.Forgetting, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*novaTimeout)
	defer cancel()
	f.Host = host
	if f.Service, err = c.cloud.Service(ctx, host); err != nil && nova.FaultOf(err) != nova.FaultNotFound {
		return f, err
	}
	if f.Service.ID != "" {
		if f.Servers, err = c.cloud.Servers(ctx, host); err != nil {
			return f, err
		}
	}
	if f.Rows, err = c.cloud.Evacuations(ctx, host); err != nil {
		return f, err
	}
	cl, err := c.cloud.connected(ctx)
	if err != nil {
		return f, err
	}
	if f.Providers, err = cl.Providers(ctx, host); err != nil {
		return f, err
	}
	claims, err := cl.Claims(ctx, host)
	if err != nil {
		return f, err
	}
	for _, id := range claims {
		switch s, err := cl.Server(ctx, id); {
		case nova.FaultOf(err) == nova.FaultNotFound:
			f.Strangers = append(f.Strangers, id)
		case err != nil:
			return f, err
		case s.Host != host:
			f.Elsewhere = append(f.Elsewhere, s)
		case !slices.ContainsFunc(f.Servers, func(x nova.Server) bool { return x.ID == id }):
			f.Servers = append(f.Servers, s)
		}
	}
	if len(c.powers.links[string(host)]) > 0 && !c.untouched(host) {
		rctx, cancel := context.WithTimeout(ctx, fence.CallTimeout)
		defer cancel()
		f.Power = c.powers.Read(rctx, string(host)).Power
	}
	return f, nil
}

// What is cleaned after a host.

func (c *cloud) Release(ctx context.Context, id nova.ServerID, providers []string) error {
	cl, err := c.connected(ctx)
	if err != nil {
		return err
	}
	return cl.Release(ctx, id, providers)
}

func (c *cloud) DeleteProvider(ctx context.Context, id string) error {
	cl, err := c.connected(ctx)
	if err != nil {
		return err
	}
	return cl.DeleteProvider(ctx, id)
}

func (c *cloud) DeleteService(ctx context.Context, id string) error {
	cl, err := c.connected(ctx)
	if err != nil {
		return err
	}
	return cl.DeleteService(ctx, id)
}
