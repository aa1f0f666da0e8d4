package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

// leaseOf is the lease of an address that Lifeboat moves, as it stands.
func (c *Controller) leaseOf(name string) (evacuate.VIPLease, int, error) {
	if !c.vips.own.owns(name) {
		return evacuate.VIPLease{}, 0, fmt.Errorf("%w: Lifeboat moves no address %q: `own: true` at it in the controllers' files (docs/vip.md#own)", api.ErrNotFound, name)
	}
	var l evacuate.VIPLease
	generation := 0
	c.machine.Locked(func(s *evacuate.State) {
		generation = s.Generation
		if known := s.Leases[name]; known != nil {
			l = *known
		}
	})
	return l, generation, nil
}

// transferVIP wishes an address elsewhere: its holder gives it away once the wished
// has said that it can have it.
func (c *Controller) transferVIP(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	l, generation, err := c.leaseOf(q.Word)
	if err != nil {
		return "", err
	}
	if l.Holder == "" {
		return "", fmt.Errorf("%w: nobody has %s: `lifeboat vip status` says why", api.ErrRefused, q.Word)
	}
	to, why := c.successor(q.Word, l.Holder, q.Address)
	if why != "" {
		return "", fmt.Errorf("%w: %s", api.ErrRefused, why)
	}
	e.Kind, e.Lease = evacuate.KindVIPLease, &evacuate.VIPLeaseStep{Act: evacuate.LeaseWish, Node: c.id, Generation: generation,
		Of: []evacuate.VIPLeaseAsk{{VIP: q.Word, Epoch: l.Epoch, To: to, Why: cmp.Or(q.Reason, "asked by "+e.By)}}}
	return fmt.Sprintf("%s goes from %s to %s", q.Word, l.Holder, to), c.apply(ctx, e)
}

// successor finds who can have an address after its holder, or says why nobody can.
func (c *Controller) successor(name, holder, asked string) (to, why string) {
	fit := c.vips.fitness()[name]
	able := slices.DeleteFunc(vip.Able(fit), func(id string) bool { return id == holder })
	f, known := fit[asked]
	switch {
	case asked == "" && len(able) == 0:
		return "", "no other controller can have it now: `lifeboat vip status` says why"
	case asked == "":
		return able[0], ""
	case asked == holder:
		return "", holder + " has it already"
	case !known:
		return "", fmt.Sprintf("no controller %q that has told of itself within %s", asked, vip.SightFresh)
	case f.Not != "":
		return "", asked + " cannot have it: " + f.Not
	}
	return asked, ""
}

// adoptVIP gives the lease to the controller whose keepalived has the address. It
// puts the address on its kernel in the instant in which keepalived lets go.
func (c *Controller) adoptVIP(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	l, generation, err := c.leaseOf(q.Word)
	if err != nil {
		return "", err
	}
	if l.Holder != "" {
		return "", fmt.Errorf("%w: Lifeboat's %s has it already", api.ErrRefused, l.Holder)
	}
	x := c.vips
	x.mu.Lock()
	owner, sight := x.report.Owners[q.Word], agedSight{}
	for id, s := range x.sights {
		if string(id) == owner {
			sight = s
		}
	}
	found := slices.ContainsFunc(x.report.Findings, func(f vip.Finding) bool { return f.VIP == q.Word && f.Kind != vip.Hollow })
	x.mu.Unlock()
	i := slices.IndexFunc(sight.VIPs, func(a vip.AddressSight) bool { return a.Name == q.Word })
	switch {
	case found:
		return "", fmt.Errorf("%w: something is wrong with it: mend that first (`lifeboat vip status`)", api.ErrRefused)
	case i < 0 || c.clock.Now().Sub(sight.at) > vip.SightFresh || !sight.VIPs[i].Holds || sight.VIPs[i].Own == nil:
		return "", fmt.Errorf("%w: %q has it, which is not one controller that has told so lately and owns it by its file", api.ErrRefused, owner)
	}
	e.Kind, e.Lease = evacuate.KindVIPLease, &evacuate.VIPLeaseStep{Act: evacuate.LeaseAdopt, Node: owner, Generation: generation,
		Of: []evacuate.VIPLeaseAsk{{VIP: q.Word, Epoch: l.Epoch, Seq: l.Seq, Why: cmp.Or(q.Reason, "adopted from its keepalived, asked by "+e.By)}}}
	return fmt.Sprintf("%s is ready to take %s over from its keepalived. Within %s: stop and disable keepalived on all other controllers first, on %s last. "+
		"Nobody has the address for a tenth of a second then. A backup that still runs takes it within a second; %s lets go of it when it hears that",
		owner, q.Word, 10*time.Minute, owner, owner), c.apply(ctx, e)
}
