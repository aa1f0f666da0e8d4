package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

func (s *shell) enroll() *cobra.Command {
	var file, controller, tokenFile string
	c := cmd("enroll", "enrol this compute host with a one-time token", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if s.hooks.Enrol == nil {
			return absent("enrolment")
		}
		if tokenFile == "" {
			return usage("no enrolment token: give --enrol-token-file, with what `lifeboat token create` printed")
		}
		cfg, err := config.LoadAgent(file)
		if err != nil {
			return err
		}
		secret, err := config.ReadSecretFile(tokenFile)
		if err != nil {
			return codeError{ExitUsage, err}
		}
		if controller == "" && len(cfg.Controllers) > 0 {
			controller = cfg.Controllers[0].String()
		}
		if err := s.hooks.Enrol(ctx, cfg, controller, strings.TrimSpace(secret.Reveal())); err != nil {
			return err
		}
		return s.say(cfg.Host + " is enrolled; start lifeboat-agent")
	})
	c.Flags().StringVar(&file, "config", "/etc/lifeboat/agent.yaml", "the agent's configuration")
	c.Flags().StringVar(&controller, "controller", "", "peer address of a controller (default: the first of the configuration)")
	c.Flags().StringVar(&tokenFile, "enrol-token-file", "", "file with the token of `lifeboat token create`")
	c.PreRun = func(cc *cobra.Command, _ []string) {
		// A --token-file given here is the enrolment token; one of the
		// environment is the API's, and goes nowhere else.
		if f := cc.Flags().Lookup("token-file"); tokenFile == "" && f != nil && f.Changed {
			tokenFile = s.tokenFile
		}
	}
	return c
}

func absent(what string) error { return fmt.Errorf("this build has no %s", what) }

func (s *shell) caCmd() *cobra.Command {
	var cluster string
	initCA := cmd("init DIR", "make ca.crt and ca.key", cobra.ExactArgs(1), func(_ context.Context, a []string) error {
		i, err := identity.InitCA(a[0], cluster, s.hooks.Now())
		if err != nil {
			return codeError{ExitRefused, err}
		}
		fmt.Fprintf(s.out, "%s (valid until %s), %s: keep the key away from the controllers\n", i.Certificate, i.Until.Format("2006-01-02"), i.Key)
		return nil
	})
	initCA.Flags().StringVar(&cluster, "cluster", "", "the cluster's name, as in the controllers' files")
	_ = initCA.MarkFlagRequired("cluster")
	var id string
	var addresses []string
	var days int
	issue := cmd("issue DIR", "make a controller's certificate and key", cobra.ExactArgs(1), func(_ context.Context, a []string) error {
		i, err := identity.IssueController(a[0], id, addresses, days, s.hooks.Now())
		if err != nil {
			return codeError{ExitRefused, err}
		}
		fmt.Fprintf(s.out, "%s (valid until %s), %s\n", i.Certificate, i.Until.Format("2006-01-02"), i.Key)
		return nil
	})
	issue.Flags().StringVar(&id, "id", "", "the controller's id")
	issue.Flags().StringSliceVar(&addresses, "address", nil, "its addresses and names")
	issue.Flags().IntVar(&days, "days", 825, "validity")
	_ = issue.MarkFlagRequired("id")
	return group("ca", "a CA for the controllers, where the site has none", initCA, issue)
}

func (s *shell) ringKey() *cobra.Command {
	var out string
	c := cmd("ring-key", "a new key for the gossip ring", cobra.NoArgs, func(context.Context, []string) error {
		b := make([]byte, 32)
		_, _ = rand.Read(b)
		key := base64.StdEncoding.EncodeToString(b) + "\n"
		if out == "" {
			fmt.Fprint(s.out, key)
			return nil
		}
		return create(out, []byte(key))
	})
	c.Flags().StringVar(&out, "out", "", "write it to this new file (mode 600)")
	return c
}

func (s *shell) configCmd() *cobra.Command {
	var online bool
	check := cmd("check FILE", "every fault of a controller's or agent's file, at once", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		data, err := os.ReadFile(a[0])
		if err != nil {
			return usage("read the configuration: %w", err)
		}
		if !bytes.Contains(data, []byte("\ncontroller:")) && !bytes.HasPrefix(data, []byte("controller:")) {
			if _, err := config.LoadAgent(a[0]); err != nil {
				return err
			}
			fmt.Fprintln(s.out, "good: an agent's file")
			return nil
		}
		cfg, err := config.LoadController(a[0])
		if err != nil {
			return err
		}
		for _, w := range cfg.Warnings() {
			fmt.Fprintln(s.out, "warning: "+w)
		}
		if s.hooks.CheckAgents != nil {
			if err := s.hooks.CheckAgents(cfg); err != nil {
				return codeError{ExitUsage, err}
			}
		}
		if online {
			if s.hooks.CheckOnline == nil {
				return absent("online check")
			}
			s.bootWarnings(ctx)
			if err := s.hooks.CheckOnline(ctx, cfg, s.out); err != nil {
				return err
			}
		}
		fmt.Fprintf(s.out, "good: a controller's file with %d hosts\n", len(cfg.Hosts))
		return nil
	})
	check.Flags().BoolVar(&online, "online", false, "also ask Nova for the hosts and read every BMC's power")
	show := cmd("show FILE", "the effective controller's file, defaults filled in, secrets redacted", cobra.ExactArgs(1), func(_ context.Context, a []string) error {
		cfg, err := config.LoadController(a[0])
		if err != nil {
			return err
		}
		fmt.Fprint(s.out, cfg.Effective())
		return nil
	})
	return group("config", "check configuration files", check, show)
}

// bootWarnings tells what the hosts' agents have found of guests that start at boot; they
// alone can look, so a controller that runs is asked.
func (s *shell) bootWarnings(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var all []api.Alert
	if err := s.get(ctx, "/v1/alerts", &all); err != nil {
		fmt.Fprintf(s.out, "note: no controller answers, so what starts guests as hosts boot was not looked at: %v\n", err)
		return
	}
	for _, a := range all {
		if a.Name == api.AlertBoot {
			fmt.Fprintf(s.out, "warning: %s: as it boots: %s\n", a.Host, a.Text)
		}
	}
}

func (s *shell) demo() *cobra.Command {
	var keep bool
	c := cmd("demo", "a whole site in one process: two hosts die, and you see what happens", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if s.hooks.Demo == nil {
			return absent("demo")
		}
		return s.hooks.Demo(ctx, s.out, keep)
	})
	c.Flags().BoolVar(&keep, "keep", false, "leave it up until Ctrl-C")
	return c
}

func (s *shell) sim() *cobra.Command {
	var seed uint64
	var logs string
	c := cmd("sim FILE", "play a scenario in virtual time: what would Lifeboat do?", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		if s.hooks.Sim == nil {
			return absent("simulator")
		}
		if err := s.hooks.Sim(ctx, a[0], seed, logs, s.out); err != nil {
			return codeError{ExitUsage, err}
		}
		return nil
	})
	c.Flags().Uint64Var(&seed, "seed", 1, "which packets are lost, where some are")
	c.Flags().StringVar(&logs, "log", "", "also print the processes' logs from this level on: debug, info, warn")
	return c
}

func (s *shell) version() *cobra.Command {
	return cmd("version", "the version", cobra.NoArgs, func(context.Context, []string) error {
		fmt.Fprintln(s.out, s.hooks.Version)
		return nil
	})
}
