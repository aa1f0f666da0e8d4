package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/nova"
)

func (s *shell) fenceCmd() *cobra.Command {
	return group("fence", "try a host's fencing before the day it is needed", s.fenceTest(), s.fenceDrill())
}

func (s *shell) fenceTest() *cobra.Command {
	return cmd("test HOST", "ask every fencing method of a host: power, machine, time, certificate; commands nothing", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		var t evacuate.FenceTest
		if err := c.get(ctx, "/v1/hosts/"+url.PathEscape(a[0])+"/fence-test", &t); err != nil {
			return err
		}
		if s.output == "json" {
			err = s.print(t, nil)
		} else {
			_, err = io.WriteString(s.out, t.Text())
		}
		if err == nil && !t.Good() {
			err = codeError{ExitFailed, fmt.Errorf("not all is well with the fencing of %s", a[0])}
		}
		return err
	})
}

// fenceDrill shows what would be done, has the host's name typed, begins, and tells
// how it goes until it ends.
func (s *shell) fenceDrill() *cobra.Command {
	var method, reason, yes string
	var status bool
	var in io.Reader
	c := withReason(cmd("drill HOST", "power a host in maintenance and without instances off and on, through a method, and see whether its agent falls silent", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		cl, err := s.client()
		if err != nil {
			return err
		}
		if status {
			d, err := s.drills(ctx, cl, a[0])
			if err != nil {
				return err
			}
			return s.print(d, func(w io.Writer) { tellDrills(w, d) })
		}
		q := api.Command{Verb: api.VerbDrill, Host: nova.HostName(a[0]), By: operator(), Word: method}
		text, err := cl.command(ctx, q)
		if err != nil {
			return err
		}
		if yes, err = s.typed(in, yes, a[0], text, "to power it off and on"); err != nil {
			return err
		}
		q.Flag, q.Typed, q.Reason = true, yes, reason
		if text, err = cl.command(ctx, q); err != nil {
			return err
		}
		fmt.Fprintln(s.err, text)
		return s.watchDrill(ctx, cl, a[0])
	}), &reason)
	c.Flags().StringVar(&method, "method", "", "through which method: its name, or its place in the chain from 1 (default: the first that needs a drill)")
	c.Flags().StringVar(&yes, "yes", "", "the host's name once more, in place of typing it: for scripts")
	c.Flags().BoolVar(&status, "status", false, "only tell of the drill under way, and of the ones before")
	c.PreRun = func(c *cobra.Command, _ []string) { in = c.InOrStdin() }
	return c
}

func (s *shell) drills(ctx context.Context, cl *client, host string) (*evacuate.Drills, error) {
	var d evacuate.Drills
	return &d, cl.get(ctx, "/v1/hosts/"+url.PathEscape(host)+"/drills", &d)
}

const (
	drillEvery = time.Second
	// drillPatience is how often in a row nobody may answer while a drill is followed:
	// an election takes seconds.
	drillPatience = 60
)

// watchDrill tells each stage until the last. The drill goes on without it.
func (s *shell) watchDrill(ctx context.Context, cl *client, host string) error {
	var told evacuate.DrillStage
	for deaf := 0; ; {
		d, err := s.drills(ctx, cl, host)
		switch {
		case err != nil && (ctx.Err() != nil || deaf >= drillPatience):
			return err
		case err != nil:
			deaf++
		case d.Drilling != nil:
			deaf = 0
			if d.Drilling.Stage != told {
				told = d.Drilling.Stage
				fmt.Fprintf(s.err, "%s  %s %s\n", d.Drilling.Since.Local().Format(time.TimeOnly), told, d.Drilling.Text)
			}
			if told == evacuate.DrillDone {
				return s.print(d, func(w io.Writer) { tellDrills(w, d) })
			}
			if told == evacuate.DrillFailed {
				return codeError{ExitFailed, fmt.Errorf("the drill of %s failed: %s", host, d.Drilling.Text)}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(drillEvery):
		}
	}
}

func tellDrills(w io.Writer, d *evacuate.Drills) {
	if d.Drilling != nil {
		fmt.Fprintf(w, "last\t%s\n", strings.TrimSpace(d.Drilling.String()))
	}
	for _, x := range d.Drills {
		fmt.Fprintf(w, "drilled\t%s %s\tby %s on %s\toff after %s, silent after %s, heard again %s after power-on\n", x.Method, x.Target, x.By,
			x.At.Local().Format(time.DateTime), x.Off.Round(100*time.Millisecond), x.Silent.Round(100*time.Millisecond), x.On.Round(100*time.Millisecond))
	}
	if d.Drilling == nil && len(d.Drills) == 0 {
		fmt.Fprintf(w, "%s was never drilled\n", d.Host)
	}
}
