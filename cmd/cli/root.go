// Package cli is the operator's shell: it asks a controller's API, prints tables
// for people and JSON for programs, and makes files (CA, keys, snapshots) on this
// machine. It replaces no file, and never talks to a host, a BMC or Nova itself:
// what does so comes in as a hook.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

// Hooks are what the shell needs of the rest of the program.
type Hooks struct {
	Version string
	Now     func() time.Time
	Demo    func(ctx context.Context, out io.Writer, keep bool) error
	Enrol   func(ctx context.Context, cfg *config.Agent, controller, token string) error
	// Sim plays a scenario file in virtual time; it ends the program unless the file
	// is wrong.
	Sim func(ctx context.Context, file string, seed uint64, logs string, out io.Writer) error
	// CheckAgents holds a controller's file against the fence agents of this machine.
	CheckAgents func(cfg *config.Controller) error
	// Draft lists the hosts that Nova knows and a controller's file does not, or all.
	Draft func(ctx context.Context, cfg *config.Controller, all bool) (hosts []config.Host, notes []string, err error)
	// CheckOnline checks a controller's file against Nova and the BMCs.
	CheckOnline func(ctx context.Context, cfg *config.Controller, out io.Writer) error
}

type shell struct {
	hooks              Hooks
	api, tokenFile, ca string
	output             string
	out, err           io.Writer
}

// Root makes the command tree.
func Root(h Hooks) *cobra.Command {
	s := &shell{hooks: h}
	root := &cobra.Command{
		Use: "lifeboat", Short: "See and steer Lifeboat, the recovery of dead OpenStack compute hosts",
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			s.out, s.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if s.output != "table" && s.output != "json" {
				return usage("-o %s: say table or json", s.output)
			}
			return nil
		},
		Args: noSuch, RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return codeError{ExitUsage, err} })
	f := root.PersistentFlags()
	f.StringVar(&s.api, "api", env("LIFEBOAT_API", "http://127.0.0.1:7948"), "a controller's API (env LIFEBOAT_API)")
	f.StringVar(&s.tokenFile, "token-file", os.Getenv("LIFEBOAT_TOKEN_FILE"), "file with the API token (env LIFEBOAT_TOKEN_FILE)")
	f.StringVar(&s.ca, "ca", os.Getenv("LIFEBOAT_CA"), "CA of the API's certificate (env LIFEBOAT_CA)")
	f.StringVarP(&s.output, "output", "o", "table", "table or json")
	root.AddCommand(s.status(), s.hostsCmd(), s.host(), s.explain(), s.instances(), s.recoveries(), s.recovery(), s.events(), s.alerts(),
		s.mode(), s.plan(), s.plans(), s.approve(), s.reject(), s.shadow(), s.cancel(), s.confirmDead(), s.fenceCmd(),
		s.halt("unfreeze", "go on after a freeze", api.VerbFreeze, false),
		s.halt("drain", "open nothing new; what is open is finished", api.VerbDrain, true),
		s.halt("undrain", "let recoveries open again", api.VerbDrain, false),
		s.maintenance(), s.freeze(), s.arm(), s.returnCmd(), s.release(), s.token(), s.enroll(), s.removeHost(), s.controllerCmd(), s.controllersCmd(), s.ledgerCmd(),
		s.caCmd(), s.ringKey(), s.ringCmd(), s.vipCmd(), s.configCmd(), s.inventory(), s.demo(), s.sim(), s.version())
	return root
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// Run executes the shell and gives the exit code.
func Run(ctx context.Context, h Hooks, args []string) int {
	root := Root(h)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(root.ErrOrStderr(), "lifeboat: "+err.Error())
	return exitCode(err)
}

func exitCode(err error) int {
	if e, ok := errors.AsType[codeError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[config.Faults](err); ok {
		return ExitUsage
	}
	if errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "required flag") { // cobra has no type for it
		return ExitUsage
	}
	return ExitFailed
}

func usage(format string, args ...any) error {
	return codeError{ExitUsage, fmt.Errorf(format, args...)}
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noSuch, RunE: needsCommand}
	c.AddCommand(commands...)
	return c
}

func noSuch(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	c.SuggestionsMinimumDistance = 2
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		hint = ": did you mean " + strings.Join(like, " or ") + "?"
	}
	return usage("%s has no command %q%s", c.CommandPath(), args[0], hint)
}

// needsCommand shows the help and fails, so that no script takes it for done.
func needsCommand(c *cobra.Command, _ []string) error {
	c.SetOut(c.ErrOrStderr())
	_ = c.Help()
	return usage("%s needs a command", c.CommandPath())
}

func (s *shell) client() (*client, error) { return newClient(s.api, s.tokenFile, s.ca) }

// get reads what the API has at the path.
func (s *shell) get(ctx context.Context, path string, into any) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	return c.get(ctx, path, into)
}

func operator() string {
	if u := os.Getenv("SUDO_USER"); u != "" {
		return u
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "an operator"
}

// print writes JSON, or what table makes of it.
func (s *shell) print(v any, table func(w io.Writer)) error {
	if s.output == "json" {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	table(w)
	return w.Flush()
}

func cmd(use, short string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	checked := func(c *cobra.Command, a []string) error {
		if err := args(c, a); err != nil {
			return usage("%w: %s", err, c.UseLine())
		}
		return nil
	}
	return &cobra.Command{Use: use, Short: short, Args: checked, RunE: func(c *cobra.Command, a []string) error { return run(c.Context(), a) }}
}
