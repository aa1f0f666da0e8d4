package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

func (s *shell) vipCmd() *cobra.Command {
	read := func(use, short string, show func(io.Writer, api.VIPStatus)) *cobra.Command {
		return cmd(use, short, cobra.NoArgs, func(ctx context.Context, _ []string) error {
			var st api.VIPStatus
			if err := s.get(ctx, "/v1/vip", &st); err != nil {
				return err
			}
			return s.print(st, func(w io.Writer) {
				if !st.Watched {
					fmt.Fprintln(w, "nothing is watched: give the section vip in the controllers' files (docs/vip.md)")
					return
				}
				show(w, st)
			})
		})
	}
	return group("vip", "the control plane's addresses", read("status", "who has them, what is wrong, and what each controller sees", showVIP),
		read("matrix", "which host reaches what", showMatrix), s.vipTransfer(), s.vipDrill(), s.vipAdopt(), s.vipLint())
}

func showVIP(w io.Writer, st api.VIPStatus) {
	fmt.Fprintln(w, "VIP\tADDRESS\tOWNER\tMOVES\tMANAGED BY")
	for _, v := range st.VIPs {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", v.Name, v.Address, orNone(v.Owner), v.Moves, orDash(v.Router))
	}
	if c := st.Control; c.Condition != "" {
		fmt.Fprintf(w, "\nHOLDS\t%s: %s\n", c.Condition, c.Detail)
	}
	showLeases(w, st)
	for _, f := range st.Findings {
		fmt.Fprintf(w, "\nFOUND\t%s of %s since %s (%s)\n", f.Kind, f.VIP, f.Since.Local().Format(time.DateTime), strings.Join(f.Nodes, ", "))
		for _, e := range f.Evidence {
			fmt.Fprintf(w, "\t%s\n", e)
		}
		fmt.Fprintf(w, "to do\t%s\n\t%s\n", f.Do, f.Runbook)
	}
	if len(st.Findings) == 0 {
		fmt.Fprintln(w, "\nnothing is wrong with them")
	}
	fmt.Fprintln(w, "\nCONTROLLER\tVIP\tHAS IT\tANSWERS\tADVERTISED BY\tSERVICE\tSEEN")
	for _, c := range st.Sights {
		for _, a := range c.VIPs {
			var answers, adverts []string
			for _, m := range a.Answers {
				answers = append(answers, m.MAC.String())
			}
			for _, ad := range a.Adverts {
				adverts = append(adverts, ad.Source.String())
			}
			service := "-"
			if a.Outside != nil {
				service = a.Outside.String()
			}
			fmt.Fprintf(w, "%s\t%s\t%t\t%s\t%s\t%s\t%s ago\n", c.Controller, a.Name, a.Holds, orDash(strings.Join(answers, " ")), orDash(strings.Join(adverts, " ")), service, c.Age.Round(100*time.Millisecond))
		}
		for _, line := range c.Cannot {
			fmt.Fprintf(w, "%s\tcannot watch %s\n", c.Controller, line)
		}
	}
}

// showLeases tells who may have the addresses that Lifeboat moves itself, and why the
// others have not.
func showLeases(w io.Writer, st api.VIPStatus) {
	for _, v := range st.VIPs {
		if v.Lease == nil {
			continue
		}
		fmt.Fprintf(w, "\nLEASE\t%s: %s, epoch %d", v.Name, orNone(v.Lease.Holder), v.Lease.Epoch)
		if v.Lease.Wish != "" {
			fmt.Fprintf(w, ", goes to %s", v.Lease.Wish)
		}
		if v.Lease.Adopting {
			fmt.Fprint(w, ", being adopted")
		}
		fmt.Fprintln(w)
		for _, c := range st.Sights {
			for _, a := range c.VIPs {
				if a.Name == v.Name && a.Own != nil {
					fmt.Fprintf(w, "%s\t%s %s\n", c.Controller, a.Own.Phase, a.Own.Why)
				}
			}
		}
	}
}

func isDuplicateOf(name string) func(vip.Finding) bool {
	return func(f vip.Finding) bool { return f.VIP == name && f.Kind == vip.Duplicate }
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func showMatrix(w io.Writer, st api.VIPStatus) {
	head := []string{"HOST", "ASKED"}
	for _, t := range st.Matrix.Targets {
		head = append(head, t.Service+" "+t.Address.String())
	}
	fmt.Fprintln(w, strings.Join(head, "\t"))
	for _, h := range st.Matrix.Hosts {
		line := []string{string(h.Host), h.Age.Round(100*time.Millisecond).String() + " ago"}
		if !h.Fresh {
			line[1] += " (old)"
		}
		if h.PeersAsked > 0 {
			line[1] += fmt.Sprintf("; %d of %d others reach it", h.Peers, h.PeersAsked)
		}
		for _, word := range h.Words {
			line = append(line, word.String())
		}
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	for _, t := range st.Matrix.Targets {
		fmt.Fprintf(w, "%s\t%d ok, %d refused, %d silent, %d bad\n", t.Service, t.OK, t.Refused, t.Silent, t.Bad)
	}
}

// vipLint reads files of this machine; it asks nobody.
func (s *shell) vipLint() *cobra.Command {
	return cmd("lint FILE...", "what keepalived's, HAProxy's and Kolla's files get wrong about a VIP", cobra.MinimumNArgs(1), func(_ context.Context, files []string) error {
		var all []vip.Mistake
		var given []vip.File
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				return fmt.Errorf("read what is to be checked: %w", err)
			}
			given = append(given, vip.File{Name: name, Text: string(b)})
		}
		all = vip.Lint(given)
		if err := s.print(all, func(w io.Writer) {
			for _, m := range all {
				fmt.Fprintln(w, m.String())
			}
		}); err != nil {
			return err
		}
		if n := len(all); n > 0 {
			return fmt.Errorf("%d mistakes", n)
		}
		return nil
	})
}
