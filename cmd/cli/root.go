// Package cli is the operator's shell: it asks a controller's API, prints tables
// for people and JSON for programs, and makes files (CA, keys) on this machine.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/config"
)

// Hooks are what the shell needs of the rest of the program.
type Hooks struct {
	Version string
	Now     func() time.Time
	Demo    func(ctx context.Context, out io.Writer, keep bool) error
	Enrol   func(ctx context.Context, cfg *config.Agent, controller, token string) error
	// CheckOnline checks a controller's file against Nova and the BMCs.
	CheckOnline func(ctx context.Context, cfg *config.Controller, out io.Writer) error
}

type shell struct {
	hooks              Hooks
	api, tokenFile, ca string
	output             string
	out                io.Writer
}

// Root makes the command tree.
func Root(h Hooks) *cobra.Command {
	s := &shell{hooks: h}
	root := &cobra.Command{
		Use: "lifeboat", Short: "See and steer Lifeboat, the recovery of dead OpenStack compute hosts",
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) { s.out = cmd.OutOrStdout() },
	}
	f := root.PersistentFlags()
	f.StringVar(&s.api, "api", env("LIFEBOAT_API", "http://127.0.0.1:7948"), "a controller's API (env LIFEBOAT_API)")
	f.StringVar(&s.tokenFile, "token-file", os.Getenv("LIFEBOAT_TOKEN_FILE"), "file with the API token (env LIFEBOAT_TOKEN_FILE)")
	f.StringVar(&s.ca, "ca", os.Getenv("LIFEBOAT_CA"), "CA of the API's certificate (env LIFEBOAT_CA)")
	f.StringVarP(&s.output, "output", "o", "table", "table or json")
	root.AddCommand(s.status(), s.hostsCmd(), s.host(), s.explain(), s.recoveries(), s.recovery(), s.events(), s.alerts(),
		s.maintenance(), s.freeze(), s.arm(), s.returnCmd(), s.token(), s.enroll(), s.removeHost(), s.controllers(), s.ledgerCmd(),
		s.caCmd(), s.ringKey(), s.configCmd(), s.demo(), s.version())
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
	fmt.Fprintln(os.Stderr, "lifeboat: "+err.Error())
	if e, ok := errors.AsType[codeError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[config.Faults](err); ok {
		return ExitUsage
	}
	if strings.HasPrefix(err.Error(), "unknown ") || strings.Contains(err.Error(), "arg(s)") || strings.Contains(err.Error(), "required flag") {
		return ExitUsage
	}
	return ExitFailed
}

func (s *shell) client() (*client, error) { return newClient(s.api, s.tokenFile, s.ca) }

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
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: func(c *cobra.Command, a []string) error { return run(c.Context(), a) }}
}
