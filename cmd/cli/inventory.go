package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/config"
)

// inventory makes the section `hosts` of a controller's file.
func (s *shell) inventory() *cobra.Command {
	var all bool
	draft := cmd("draft FILE", "a table (CSV) of the hosts that Nova knows and a controller's file does not; Nova is asked as the controller would", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		if s.hooks.Draft == nil {
			return absent("inventory")
		}
		cfg, err := aside(a[0])
		if err != nil {
			return err
		}
		hosts, notes, err := s.hooks.Draft(ctx, cfg, all)
		if err != nil {
			return err
		}
		for _, n := range notes {
			fmt.Fprintln(s.err, "note: "+n)
		}
		fmt.Fprint(s.out, config.Table(hosts))
		return nil
	})
	draft.Flags().BoolVar(&all, "all", false, "the hosts of the file too")
	var file string
	read := cmd("import TABLE", "the section `hosts` out of a table (CSV) or of YAML, checked against the rest of a controller's file", cobra.ExactArgs(1), func(_ context.Context, a []string) error {
		cfg, err := aside(file)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(a[0])
		if err != nil {
			return usage("read the inventory: %w", err)
		}
		var hosts []config.Host
		if strings.HasSuffix(a[0], ".yaml") || strings.HasSuffix(a[0], ".yml") {
			hosts, err = config.ReadHosts(a[0], data)
		} else {
			hosts, err = config.ReadCSV(a[0], bytes.NewReader(data))
		}
		if err != nil {
			return codeError{ExitUsage, err}
		}
		section, err := cfg.Inventory(hosts)
		if err != nil {
			return codeError{ExitUsage, err}
		}
		fmt.Fprint(s.out, section)
		return nil
	})
	read.Flags().StringVar(&file, "config", "/etc/lifeboat/controller.yaml", "the controller's file that the hosts are for")
	return group("inventory", "draft and check the hosts of a controller's file", draft, read)
}

// aside reads a controller's file for everything but its hosts.
func aside(path string) (*config.Controller, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usage("read the configuration: %w", err)
	}
	cfg, err := config.ParseController(path, data)
	if faults, ok := errors.AsType[config.Faults](err); ok {
		var rest config.Faults
		for _, f := range faults {
			if !strings.HasPrefix(f.Path, "hosts") {
				rest = append(rest, f)
			}
		}
		if len(rest) > 0 {
			return nil, rest
		}
		err = nil
	}
	return cfg, err
}
