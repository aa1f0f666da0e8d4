package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/nova"
)

func withReason(c *cobra.Command, reason *string) *cobra.Command {
	c.Flags().StringVar(reason, "reason", "", "why; it is recorded and shown")
	return c
}

func (s *shell) mode() *cobra.Command {
	var host, aggregate, reason string
	c := cmd("mode [MODE]", "how far Lifeboat may go: off, observe, shadow, approve, auto; without one, what is set", cobra.MaximumNArgs(1), func(ctx context.Context, a []string) error {
		if len(a) == 0 {
			return s.modes(ctx)
		}
		_, err := evacuate.ParseMode(a[0])
		switch {
		case host != "" && aggregate != "":
			return usage("--host or --aggregate, not both")
		case a[0] == evacuate.Inherit && host+aggregate == "":
			return usage("the cloud inherits from nothing: give --host or --aggregate")
		case err != nil && a[0] != evacuate.Inherit:
			return usage("%w; inherit takes the mode of a host or an aggregate away", err)
		}
		return s.do(ctx, api.Command{Verb: api.VerbMode, Word: a[0], Host: nova.HostName(host), Aggregate: aggregate, Reason: reason})
	})
	c.Flags().StringVar(&host, "host", "", "for this host alone")
	c.Flags().StringVar(&aggregate, "aggregate", "", "for this host aggregate")
	return withReason(c, &reason)
}

func (s *shell) modes(ctx context.Context) error {
	var m api.Modes
	if err := s.get(ctx, "/v1/modes", &m); err != nil {
		return err
	}
	return s.print(m, func(w io.Writer) {
		fmt.Fprintln(w, "OF\tMODE\tSET BY")
		fmt.Fprintf(w, "cloud\t%s\t%s\n", m.Cloud.Mode, m.Cloud.When())
		for _, name := range slices.Sorted(maps.Keys(m.Aggregates)) {
			fmt.Fprintf(w, "aggregate %s\t%s\t%s\n", name, m.Aggregates[name].Mode, m.Aggregates[name].When())
		}
		for _, name := range slices.Sorted(maps.Keys(m.Hosts)) {
			fmt.Fprintf(w, "host %s\t%s\t%s\n", name, m.Hosts[name].Mode, m.Hosts[name].When())
		}
		if m.Frozen != "" {
			fmt.Fprintf(w, "FROZEN\t\t%s\n", m.Frozen)
		}
		if m.Drained != "" {
			fmt.Fprintf(w, "DRAINED\t\t%s\n", m.Drained)
		}
	})
}

// halt makes one of freeze, unfreeze, drain, undrain.
func (s *shell) halt(use, short, verb string, on bool) *cobra.Command {
	var reason string
	return withReason(cmd(use, short, cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return s.do(ctx, api.Command{Verb: verb, Flag: on, Reason: reason})
	}), &reason)
}

func (s *shell) approve() *cobra.Command {
	var storm, reason string
	var hosts int
	c := cmd("approve PLAN", "let a plan be carried out: exactly this one, after all gates were asked again", cobra.MaximumNArgs(1), func(ctx context.Context, a []string) error {
		q := api.Command{Verb: api.VerbApprove, Reason: reason}
		switch {
		case storm == "" && len(a) == 1 && hosts == 0:
			q.Word = a[0]
		case storm != "" && len(a) == 0 && hosts > 0:
			q.Word, q.Flag, q.Count = storm, true, hosts
		default:
			return usage("approve PLAN, or approve --all-of STORM --hosts N with the number of plans that wait")
		}
		return s.do(ctx, q)
	})
	c.Flags().StringVar(&storm, "all-of", "", "every plan of this storm that waits")
	c.Flags().IntVar(&hosts, "hosts", 0, "how many that are: typed again, and refused if it is not so")
	return withReason(c, &reason)
}

func (s *shell) reject() *cobra.Command {
	var reason string
	return withReason(cmd("reject PLAN", "say no to a plan: its host is left alone until it is heard again", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		return s.do(ctx, api.Command{Verb: api.VerbReject, Word: a[0], Reason: reason})
	}), &reason)
}

func (s *shell) plan() *cobra.Command {
	var again bool
	c := cmd("plan HOST|PLAN", "what would happen if this host were dead now; or one plan that was prepared", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		if again {
			return s.do(ctx, api.Command{Verb: api.VerbPlanAgain, Host: nova.HostName(a[0])})
		}
		var plans []*evacuate.Proposal
		if err := s.get(ctx, "/v1/plans", &plans); err != nil {
			return err
		}
		if slices.ContainsFunc(plans, func(p *evacuate.Proposal) bool { return string(p.ID) == a[0] }) {
			return s.page(ctx, "/v1/plans/"+url.PathEscape(a[0]), &evacuate.Proposal{})
		}
		return s.page(ctx, "/v1/hosts/"+url.PathEscape(a[0])+"/plan", &evacuate.Proposal{})
	})
	c.Flags().BoolVar(&again, "again", false, "ask anew about a host whose plan was rejected")
	return c
}

func (s *shell) plans() *cobra.Command {
	return cmd("plans", "plans that wait for an answer, and those that had one", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		var plans []*evacuate.Proposal
		if err := s.get(ctx, "/v1/plans", &plans); err != nil {
			return err
		}
		return s.print(plans, func(w io.Writer) {
			fmt.Fprintln(w, "PLAN\tSTORM\tHOST\tSTATUS\tEXPIRES\tWHAT")
			for _, p := range plans {
				expires := ""
				if p.Active() {
					expires = p.Expires.Local().Format(time.TimeOnly)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p.ID, p.Storm, p.Host, p.Status, expires, p.Line())
			}
		})
	})
}

func (s *shell) shadow() *cobra.Command {
	var reason string
	score := withReason(cmd("score ID right|wrong|unknown", "say what became of a decision that could not be told", cobra.ExactArgs(2), func(ctx context.Context, a []string) error {
		if !slices.Contains(evacuate.Scores[:], evacuate.Score(a[1])) {
			return usage("say right, wrong or unknown, not %q", a[1])
		}
		return s.do(ctx, api.Command{Verb: api.VerbShadowScore, Word: a[0], Score: a[1], Reason: reason})
	}), &reason)
	c := cmd("shadow", "what would have been done in the mode shadow, and whether that was right", noSuch, func(ctx context.Context, _ []string) error {
		var sh api.Shadow
		if err := s.get(ctx, "/v1/shadow", &sh); err != nil {
			return err
		}
		return s.print(sh, func(w io.Writer) {
			fmt.Fprintln(w, "ID\tHOST\tAT\tSCORE\tWOULD HAVE\tWHY")
			for _, d := range sh.Decisions {
				would := ""
				if d.Plan != nil {
					would = d.Plan.Line()
				}
				verdict := string(d.Score)
				if d.Score == evacuate.ScorePending {
					verdict = "pending"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, d.Host, d.At.Local().Format(time.DateTime), verdict, would, d.Why)
			}
			fmt.Fprintf(w, "right %d, WRONG %d, unknown %d, pending %d\n", sh.Sum["right"], sh.Sum["wrong"], sh.Sum["unknown"], sh.Sum["pending"])
		})
	})
	c.AddCommand(score)
	return c
}

func (s *shell) cancel() *cobra.Command {
	var reason string
	return withReason(cmd("cancel RECOVERY", "undo a recovery whose host is not proven off yet", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		return s.do(ctx, api.Command{Verb: api.VerbCancel, Word: a[0], Reason: reason})
	}), &reason)
}

func (s *shell) recovery() *cobra.Command {
	var reason, force string
	c := cmd("recovery ID [relist|end]", "one recovery's timeline; or list its host again for what you have mended, or end it by hand", cobra.RangeArgs(1, 2), func(ctx context.Context, a []string) error {
		switch {
		case len(a) == 1:
			return s.page(ctx, "/v1/recoveries/"+url.PathEscape(a[0]), &evacuate.Recovery{})
		case a[1] == "relist":
			return s.do(ctx, api.Command{Verb: api.VerbRelist, Word: a[0], Reason: reason})
		case a[1] != "end":
			return usage("recovery %s %s: say relist, end, or nothing", a[0], a[1])
		case reason == "":
			return usage("recovery %s end: give --reason", a[0])
		}
		return s.do(ctx, api.Command{Verb: api.VerbEnd, Word: a[0], Reason: reason, Flag: force != "", Host: nova.HostName(force)})
	})
	c.Flags().StringVar(&force, "force", "", "the host's name: end it whatever may be on its way")
	return withReason(c, &reason)
}
