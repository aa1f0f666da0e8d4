package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// do sends a command and prints the answer.
func (s *shell) do(ctx context.Context, q api.Command) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	q.By = operator()
	text, err := c.command(ctx, q)
	if err != nil {
		return err
	}
	return s.say(text)
}

// say prints one line.
func (s *shell) say(text string) error {
	if s.output == "json" {
		return s.print(map[string]string{"text": text}, nil)
	}
	_, err := fmt.Fprintln(s.out, text)
	return err
}

func onOff(word string) (bool, error) {
	switch word {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, usage("say on or off, not %q", word)
}

func (s *shell) maintenance() *cobra.Command {
	var reason string
	return withReason(cmd("maintenance HOST on|off", "keep hands off a host", cobra.ExactArgs(2), func(ctx context.Context, a []string) error {
		on, err := onOff(a[1])
		if err != nil {
			return err
		}
		return s.do(ctx, api.Command{Verb: api.VerbMaintenance, Host: nova.HostName(a[0]), Flag: on, Reason: reason})
	}), &reason)
}

func (s *shell) freeze() *cobra.Command {
	var reason string
	return withReason(cmd("freeze [on|off]", "stop all work at once, or go on", cobra.MaximumNArgs(1), func(ctx context.Context, a []string) error {
		on := true
		if len(a) == 1 {
			var err error
			if on, err = onOff(a[0]); err != nil {
				return err
			}
		}
		return s.do(ctx, api.Command{Verb: api.VerbFreeze, Flag: on, Reason: reason})
	}), &reason)
}

func (s *shell) arm() *cobra.Command {
	return cmd("arm MODE", "as `mode MODE` for the whole cloud", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		if _, err := evacuate.ParseMode(a[0]); err != nil {
			return codeError{ExitUsage, err}
		}
		return s.do(ctx, api.Command{Verb: api.VerbArm, Word: a[0]})
	})
}

func (s *shell) returnCmd() *cobra.Command {
	return cmd("return HOST", "power a recovered host on and take it back into service", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		return s.do(ctx, api.Command{Verb: api.VerbReturn, Host: nova.HostName(a[0])})
	})
}

func (s *shell) release() *cobra.Command {
	var reason string
	return withReason(cmd("release HOST", "end a host's quarantine and forget what was counted", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		return s.do(ctx, api.Command{Verb: api.VerbRelease, Host: nova.HostName(a[0]), Reason: reason})
	}), &reason)
}

func (s *shell) token() *cobra.Command {
	var valid time.Duration
	c := cmd("create HOST", "a token with which this host may enrol once; shown once", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		if valid <= 0 {
			return usage("--valid %s: a token is valid for some time", valid)
		}
		return s.do(ctx, api.Command{Verb: api.VerbToken, Host: nova.HostName(a[0]), Duration: valid})
	})
	c.Flags().DurationVar(&valid, "valid", time.Hour, "for how long")
	return group("token", "one-time tokens for enrolment", c)
}

func (s *shell) removeHost() *cobra.Command {
	return cmd("host-remove HOST", "forget a host and its key", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		return s.do(ctx, api.Command{Verb: api.VerbHostRemove, Host: nova.HostName(a[0])})
	})
}

func (s *shell) controllerCmd() *cobra.Command {
	return group("controller", "replace a lost controller",
		cmd("add ID ADDRESS", "give a running, blank controller a vote", cobra.ExactArgs(2), func(ctx context.Context, a []string) error {
			return s.do(ctx, api.Command{Verb: api.VerbControllerAdd, Word: a[0], Address: a[1]})
		}),
		cmd("remove ID", "take a vote away", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
			return s.do(ctx, api.Command{Verb: api.VerbControllerRemove, Word: a[0]})
		}))
}

func (s *shell) ledgerCmd() *cobra.Command {
	var adopt bool
	restore := cmd("restore FILE", "put a saved ledger in place: voids all proofs, mode observe", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		b, err := os.ReadFile(a[0])
		if err != nil {
			return usage("read the snapshot: %w", err)
		}
		return s.do(ctx, api.Command{Verb: api.VerbRestore, Data: b, Flag: adopt})
	})
	restore.Flags().BoolVar(&adopt, "adopt", false, "take over the identity of another cluster that is gone for good")
	snapshot := cmd("snapshot FILE", "save the ledger to a new file", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		if _, err := os.Lstat(a[0]); err == nil {
			return codeError{ExitRefused, fmt.Errorf("%s is there already and is not replaced", a[0])}
		}
		text, err := c.command(ctx, api.Command{Verb: api.VerbSnapshot, By: operator()})
		if err != nil {
			return err
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return fmt.Errorf("snapshot not understood: %w", err)
		}
		if err := create(a[0], b); err != nil {
			return err
		}
		return s.say(fmt.Sprintf("%s: %d bytes", a[0], len(b)))
	})
	return group("ledger", "save and restore the ledger", snapshot, restore)
}

// create writes a new file for its owner alone, or none.
func create(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return codeError{ExitRefused, fmt.Errorf("%s is there already and is not replaced", path)}
	}
	if err != nil {
		return fmt.Errorf("make the file: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(path)))
	}
	return nil
}
