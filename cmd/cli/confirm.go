package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// confirmDead shows what is known of a host, has its name typed again, and gives
// the operator's word.
func (s *shell) confirmDead() *cobra.Command {
	var reason, yes string
	var in io.Reader
	c := withReason(cmd("confirm-dead HOST", "give your word that a host is dead, where no fencing can prove it: its instances are started elsewhere", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		if strings.TrimSpace(reason) == "" {
			return usage("confirm-dead %s: give --reason: how do you know?", a[0])
		}
		cl, err := s.client()
		if err != nil {
			return err
		}
		q := api.Command{Verb: api.VerbConfirmDead, Host: nova.HostName(a[0]), By: operator()}
		text := ""
		if yes == "" {
			if text, err = cl.command(ctx, q); err != nil {
				return err
			}
		}
		if yes, err = s.typed(in, yes, a[0], text, "to give your word that it is dead"); err != nil {
			return err
		}
		q.Flag, q.Word, q.Reason = true, yes, reason
		if text, err = cl.command(ctx, q); err != nil {
			return err
		}
		return s.say(text)
	}), &reason)
	c.Flags().StringVar(&yes, "yes", "", "the host's name once more, in place of typing it: for scripts")
	c.PreRun = func(c *cobra.Command, _ []string) { in = c.InOrStdin() }
	return c
}

// typed is the host's name as it was given, or else as it is typed now, after text was
// shown. Any other word is a no.
func (s *shell) typed(in io.Reader, given, host, text, what string) (string, error) {
	if given == "" {
		fmt.Fprintf(s.err, "%s\nType the host's name %s: ", text, what)
		var err error
		if given, err = line(in); err != nil {
			return "", codeError{ExitRefused, fmt.Errorf("nothing was typed: %w", err)}
		}
	}
	if given != host {
		return "", codeError{ExitRefused, fmt.Errorf("%q is not %q: nothing was done", given, host)}
	}
	return given, nil
}

func line(in io.Reader) (string, error) {
	text, err := bufio.NewReader(io.LimitReader(in, 1024)).ReadString('\n')
	text = strings.TrimSpace(text)
	if text == "" && err == nil {
		err = errors.New("an empty line")
	}
	if text != "" {
		err = nil
	}
	return text, err
}
