package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

const (
	vipLook     = 200 * time.Millisecond
	transferMax = 20 * time.Second
	adoptMax    = 10 * time.Minute
)

func (s *shell) vipTransfer() *cobra.Command {
	var to, reason string
	c := withReason(cmd("transfer NAME", "move an address that Lifeboat owns to another controller", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		_, err := s.transfer(ctx, a[0], to, reason)
		return err
	}), &reason)
	c.Flags().StringVar(&to, "to", "", "the `controller` that shall have it (default: the fittest other)")
	return c
}

// transfer moves an address and waits until it is there. It gives who had it.
func (s *shell) transfer(ctx context.Context, name, to, reason string) (from string, err error) {
	before, _, err := s.lease(ctx, name)
	if err != nil {
		return "", err
	}
	if err := s.do(ctx, api.Command{Verb: api.VerbVIPTransfer, Word: name, Address: to, Reason: reason}); err != nil {
		return "", err
	}
	l, err := s.awaitLease(ctx, name, transferMax, func(l evacuate.VIPLease, _ api.VIPStatus) bool { return l.Epoch > before.Epoch && l.Placed })
	if err != nil {
		return before.Holder, err
	}
	return before.Holder, s.say(fmt.Sprintf("%s is on %s; it was on no machine for %s", name, l.Holder, l.Gap.Round(time.Millisecond)))
}

// vipDrill moves an address away and back.
func (s *shell) vipDrill() *cobra.Command {
	var stay time.Duration
	c := cmd("drill NAME", "move an address to another controller and back, and say what that cost", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		from, err := s.transfer(ctx, a[0], "", "a drill")
		if err != nil {
			return err
		}
		if err := clock.Sleep(ctx, stay); err != nil {
			return err
		}
		_, err = s.transfer(ctx, a[0], from, "the end of a drill")
		return err
	})
	c.Flags().DurationVar(&stay, "stay", 5*time.Second, "how long it stays there")
	return c
}

func (s *shell) vipAdopt() *cobra.Command {
	return cmd("adopt NAME", "take an address over from keepalived: says what to stop, waits, and tells what that cost", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		if err := s.do(ctx, api.Command{Verb: api.VerbVIPAdopt, Word: a[0]}); err != nil {
			return err
		}
		twice := time.Duration(0)
		l, err := s.awaitLease(ctx, a[0], adoptMax, func(l evacuate.VIPLease, st api.VIPStatus) bool {
			if slices.ContainsFunc(st.Findings, isDuplicateOf(a[0])) {
				twice += vipLook
			}
			return l.Holder == "" || !l.Adopting && l.Placed
		})
		switch {
		case err != nil:
			return err
		case l.Holder == "":
			return errors.New("not taken over, and nothing was changed: " + l.Why)
		}
		return s.say(fmt.Sprintf("%s is Lifeboat's on %s; it was on no machine for %s at most, and seen on two for %s", a[0], l.Holder, l.Gap.Round(time.Millisecond), twice))
	})
}

// lease is the lease of an address as it stands, with all that stands beside it.
func (s *shell) lease(ctx context.Context, name string) (l evacuate.VIPLease, st api.VIPStatus, err error) {
	if err := s.get(ctx, "/v1/vip", &st); err != nil {
		return l, st, err
	}
	for _, v := range st.VIPs {
		if v.Name == name && v.Lease != nil {
			return *v.Lease, st, nil
		}
	}
	return l, st, fmt.Errorf("Lifeboat moves no address %q: `own: true` at it in the controllers' files (docs/vip.md#own)", name) //nolint:staticcheck // a name
}

// awaitLease asks until the lease is as wanted. A leader that changes meanwhile is no
// reason to give up.
func (s *shell) awaitLease(ctx context.Context, name string, most time.Duration, is func(evacuate.VIPLease, api.VIPStatus) bool) (l evacuate.VIPLease, err error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		if now, st, err := s.lease(ctx, name); err == nil {
			if l = now; is(l, st) {
				return l, nil
			}
		}
		if clock.Sleep(ctx, vipLook) != nil {
			return l, fmt.Errorf("not done within %s: `lifeboat vip status` says where it stands", most)
		}
	}
}
