package app

import (
	"context"
	"fmt"
	"sync"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// confirmDead puts a host's case before a person, or takes their word. Either way
// the host is asked anew first, for nobody asks one that was never heard.
func (c *Controller) confirmDead(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	switch {
	case !c.leads():
		return "", api.ErrNotLeader
	case c.State().Hosts[q.Host] == nil:
		return "", fmt.Errorf("%w: no host %q: `lifeboat hosts` lists them", api.ErrNotFound, q.Host)
	}
	c.search.askAnew(ctx, q.Host)
	w := c.World()
	if !q.Flag {
		return evacuate.Consider(q.Host, q.By, c.State(), w, c.policy).Text(), nil
	}
	word := fence.Word{By: q.By, Says: q.Says, Reason: q.Reason, Typed: q.Word}
	confirmed, err := evacuate.Confirm(q.Host, word, c.State(), w, c.policy)
	if err != nil {
		return "", err
	}
	e.Kind, e.Confirm, e.At, e.Flag = evacuate.KindConfirmDead, confirmed, confirmed.Word.At, false
	// Decided on what this leader has seen: another must not commit it.
	e.Term = w.Leader.Term
	if err := c.apply(ctx, e); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s is taken for dead by your word, boot %s, for %s: `lifeboat explain %s` shows what comes of it",
		q.Host, orUnknown(confirmed.Boot), confirmed.Expires.Sub(confirmed.Word.At), q.Host), nil
}

func orUnknown(boot string) string {
	if boot == "" {
		return "not known"
	}
	return boot
}

// askTimeout bounds the questions that are asked before a person's word is taken.
const askTimeout = fence.CallTimeout

// askAnew asks a host's addresses and its BMC at once, and waits for the answers.
func (v *investigator) askAnew(ctx context.Context, host nova.HostName) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { v.probe(ctx, host, v.c.observer.last()[host]) })
	wg.Go(func() {
		if r := v.c.powers.Read(ctx, string(host)); r.Method != "" {
			v.c.observer.with(func(t *detector.Table) { t.Power(powerReading(host, r)) })
		}
	})
}

// onWord lists the hosts that a person calls dead: whatever their verdict, a sign
// of life is looked for until their instances are elsewhere.
func (c *Controller) onWord() map[nova.HostName]bool {
	out := map[nova.HostName]bool{}
	c.machine.Locked(func(s *evacuate.State) {
		for name, h := range s.Hosts {
			if h.Confirmed.Watched(s.Open(name)) {
				out[name] = true
			}
		}
	})
	return out
}
