package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

func (s *shell) status() *cobra.Command {
	return cmd("status", "the cloud at a glance", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		var st api.Status
		if err := s.get(ctx, "/v1/status", &st); err != nil {
			return err
		}
		return s.print(st, func(w io.Writer) {
			fmt.Fprintf(w, "cluster\t%s (%s)\nleader\t%s, term %d\nvoters\t%s\nledger\t%s\nmode\t%s\n", st.Cluster, st.ClusterID, orNone(st.Leader), st.Term,
				strings.Join(st.Voters, ", "), map[bool]string{true: "writable", false: "NOT WRITABLE"}[st.Writable], st.Mode)
			if st.ModeSet != "" {
				fmt.Fprintf(w, "mode set by\t%s\n", st.ModeSet)
			}
			if st.Frozen != "" {
				fmt.Fprintf(w, "FROZEN\t%s\n", st.Frozen)
			}
			if cloud := st.Cloud; cloud.Condition != "" {
				fmt.Fprintf(w, "cloud\t%s for %s: %s\n", cloud.Condition, st.CloudFor.Round(time.Second), cloud.Detail)
			}
			if st.Drained != "" {
				fmt.Fprintf(w, "DRAINED\t%s\n", st.Drained)
			}
			nova := fmt.Sprintf("answered %s ago", st.NovaAge.Round(100*time.Millisecond))
			if st.NovaAge < 0 {
				nova = "not reached yet"
			}
			if st.NovaError != "" {
				nova += ": " + st.NovaError
			}
			if st.Spare != nil {
				fmt.Fprintf(w, "capacity\t%s\n", st.Spare.Text())
			}
			fmt.Fprintf(w, "nova\t%s\nhosts\t%d\nversion\t%s\n", nova, st.Hosts, st.Version)
		})
	})
}

func orNone(id string) string {
	if id == "" {
		return "NONE"
	}
	return id
}

func (s *shell) controllersCmd() *cobra.Command {
	return cmd("controllers", "every controller: does it vote, does it lead", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		var cs []api.Controller
		if err := s.get(ctx, "/v1/controllers", &cs); err != nil {
			return err
		}
		return s.print(cs, func(w io.Writer) {
			fmt.Fprintln(w, "ID\tADDRESS\tVOTES\tLEADS")
			for _, k := range cs {
				fmt.Fprintf(w, "%s\t%s\t%t\t%t\n", k.ID, k.Address, k.Votes, k.Leads)
			}
		})
	})
}

func (s *shell) hostsCmd() *cobra.Command {
	return cmd("hosts", "every host with its verdict", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		var hosts []api.Host
		if err := s.get(ctx, "/v1/hosts", &hosts); err != nil {
			return err
		}
		return s.print(hosts, func(w io.Writer) {
			fmt.Fprintln(w, "HOST\tDOMAIN\tVERDICT\tINSTANCES\tFENCEABLE\tWATCHDOG\tRECOVERY\tWHY")
			for _, h := range hosts {
				rec := ""
				if h.Recovery != "" {
					rec = string(h.Recovery) + " " + string(h.Status)
				}
				why := h.Detail
				if h.Hold != nil {
					why = "HELD: " + h.Hold.Reason
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%t\t%s\t%s\t%s\n", h.Host, h.Domain, h.Verdict, h.Instances, h.Fenceable, cmp.Or(h.Watchdog, "-"), rec, why)
			}
		})
	})
}

func (s *shell) host() *cobra.Command {
	c := cmd("host HOST", "one host with its evidence, as JSON; or forget it", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		var h api.Host
		if err := s.get(ctx, "/v1/hosts/"+url.PathEscape(a[0]), &h); err != nil {
			return err
		}
		s.output = "json"
		return s.print(h, nil)
	})
	c.AddCommand(s.forget())
	return c
}

// page prints a text that the API wrote, or its JSON.
func (s *shell) page(ctx context.Context, path string, into any) error {
	if s.output == "json" {
		if err := s.get(ctx, path, into); err != nil {
			return err
		}
		return s.print(into, nil)
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	text, err := c.text(ctx, path)
	if err == nil {
		_, err = io.WriteString(s.out, text)
	}
	return err
}

func (s *shell) explain() *cobra.Command {
	return cmd("explain HOST", "evidence, gates and answers: why is something done or not", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
		return s.page(ctx, "/v1/hosts/"+url.PathEscape(a[0])+"/explain", &evacuate.Explanation{})
	})
}

func (s *shell) recoveries() *cobra.Command {
	return cmd("recoveries", "all recoveries, the newest last", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		var rs []*evacuate.Recovery
		if err := s.get(ctx, "/v1/recoveries", &rs); err != nil {
			return err
		}
		return s.print(rs, func(w io.Writer) {
			fmt.Fprintln(w, "ID\tHOST\tSTATUS\tOPENED\tINSTANCES\tHELD")
			for _, r := range rs {
				held := ""
				if r.Hold != nil {
					held = r.Hold.Reason
				}
				status := string(r.Status)
				if r.Outcome != "" {
					status += " (" + r.Outcome + ")"
				}
				moved := fmt.Sprintf("%d of %d", r.Count()[evacuate.EvacDone], len(r.Evacuations))
				if r.Progress != nil && r.Progress.Left != nil {
					moved += fmt.Sprintf(", about %s more", *r.Progress.Left)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Host, status, r.Opened.Local().Format(time.DateTime), moved, held)
			}
		})
	})
}

func (s *shell) alerts() *cobra.Command {
	return cmd("alerts", "what an operator should see to", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		var as []api.Alert
		if err := s.get(ctx, "/v1/alerts", &as); err != nil {
			return err
		}
		return s.print(as, func(w io.Writer) {
			for _, a := range as {
				fmt.Fprintf(w, "%s\t%s\t%s\n", a.Name, a.Host, a.Text)
			}
		})
	})
}

func (s *shell) events() *cobra.Command {
	var follow bool
	c := cmd("events", "what happened, oldest first", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if !follow {
			return s.past(ctx)
		}
		cl, err := s.client()
		if err != nil {
			return err
		}
		told := map[api.Happening]bool{}
		return cl.follow(ctx, s.err, func(data []byte) error {
			var h api.Happening
			if err := json.Unmarshal(data, &h); err != nil {
				return fmt.Errorf("event not understood: %w", err)
			}
			if h.At = h.At.UTC(); told[h] {
				return nil // of before the stream broke
			}
			told[h] = true
			if s.output == "json" {
				_, err := fmt.Fprintf(s.out, "%s\n", data)
				return err
			}
			_, err := fmt.Fprintf(s.out, "%s  %-10s %-6s %s\n", h.At.Local().Format("15:04:05.000"), h.Host, h.Recovery, h.Text)
			return err
		})
	})
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on as things happen")
	return c
}

func (s *shell) past(ctx context.Context) error {
	var rs []*evacuate.Recovery
	if err := s.get(ctx, "/v1/recoveries", &rs); err != nil {
		return err
	}
	var journal []evacuate.Event
	if err := s.get(ctx, "/v1/journal", &journal); err != nil {
		return err
	}
	hs := []api.Happening{}
	for _, e := range journal {
		hs = append(hs, api.Happening{At: e.At, Host: e.Host, By: e.By, Text: e.Text})
	}
	for _, r := range rs {
		for _, e := range r.Timeline {
			hs = append(hs, api.Happening{At: e.At, Host: r.Host, Recovery: r.ID, By: e.By, Text: e.Text})
		}
	}
	slices.SortStableFunc(hs, func(a, b api.Happening) int { return a.At.Compare(b.At) })
	return s.print(hs, func(w io.Writer) {
		for _, h := range hs {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", h.At.Local().Format(time.DateTime), h.Host, h.Recovery, h.Text)
		}
	})
}
