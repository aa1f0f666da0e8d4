package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// forget shows what a host that never returns has left behind, has its name typed, and
// has it cleaned.
func (s *shell) forget() *cobra.Command {
	var reason, yes string
	var dry bool
	var in io.Reader
	c := withReason(cmd("forget HOST", "clean up after a host that never returns: Placement, Nova's service, and what Lifeboat knows of it", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		cl, err := s.client()
		if err != nil {
			return err
		}
		q := api.Command{Verb: api.VerbHostForget, Host: nova.HostName(a[0]), By: operator()}
		text := ""
		if yes == "" || dry {
			if text, err = cl.command(ctx, q); err != nil {
				return err
			}
		}
		if dry {
			return s.say(text)
		}
		if yes, err = s.typed(in, yes, a[0], text, "to have that done"); err != nil {
			return err
		}
		q.Flag, q.Typed, q.Reason = true, yes, reason
		if text, err = cl.command(ctx, q); err != nil {
			return err
		}
		return s.say(text)
	}), &reason)
	c.Flags().StringVar(&yes, "yes", "", "the host's name once more, in place of typing it: for scripts")
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be done, and do nothing")
	c.PreRun = func(c *cobra.Command, _ []string) { in = c.InOrStdin() }
	return c
}
