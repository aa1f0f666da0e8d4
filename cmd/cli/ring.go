package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

func (s *shell) ringCmd() *cobra.Command {
	var reason string
	verb := func(use, short, verb string) *cobra.Command {
		return withReason(cmd(use, short, cobra.NoArgs, func(ctx context.Context, _ []string) error {
			return s.do(ctx, api.Command{Verb: verb, Reason: reason})
		}), &reason)
	}
	status := cmd("status", "the ring's key, and what a rotation waits for", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		var st api.RingStatus
		if err := s.get(ctx, "/v1/ring", &st); err != nil {
			return err
		}
		return s.print(st, func(w io.Writer) { showRing(w, st) })
	})
	return group("ring", "the key of the gossip ring", status,
		verb("rotate", "give the ring a new key, in phases, without a break", api.VerbRingRotate),
		verb("force", "go on to the next phase without waiting for whoever has not come to this one", api.VerbRingForce),
		verb("abandon", "give a rotation up while nobody encrypts with the new key yet", api.VerbRingAbandon))
}

func showRing(w io.Writer, st api.RingStatus) {
	print := st.Fingerprint
	if print == "" {
		print = "of the controllers' files"
	}
	fmt.Fprintf(w, "key\t%d (%s)\n", st.Epoch, print)
	r := st.Rotation
	if r == nil {
		fmt.Fprintln(w, "rotation\tnone")
		return
	}
	fmt.Fprintf(w, "rotation\tto key %d (%s), begun %s by %s\n", r.New.Epoch, r.New.Fingerprint, r.Begun.Format(time.DateTime), r.By)
	fmt.Fprintf(w, "phase\t%s since %s\n", r.Phase, r.Since.Format(time.DateTime))
	for _, line := range st.Waiting {
		fmt.Fprintf(w, "waits for\t%s\n", line)
	}
}
