package app

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
)

// TestDraft: what Nova knows and the file does not, and what only the file knows.
func TestDraft(t *testing.T) {
	onSite(t, func(s *site) {
		s.nova.AddHost("cmp4")
		cfg := *s.ctl.cfg
		cfg.Hosts = append(cfg.Hosts[:2:2], config.Host{Name: "cmp9"})
		look := func(all bool) (string, string) {
			c := newCloud(cfg.Nova, false, time.Now, slog.New(slog.DiscardHandler))
			c.options.Transport = s.nova.Transport()
			hosts, notes, err := draft(s.Context(), c, &cfg, all)
			if err != nil {
				t.Fatal(err)
			}
			return config.Table(hosts), strings.Join(notes, "\n")
		}
		table, notes := look(false)
		if lines := strings.Split(strings.TrimSpace(table), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], "cmp3,,10.20.0.") || !strings.HasPrefix(lines[2], "cmp4,,10.20.0.") {
			t.Errorf("%s", table)
		}
		if !strings.Contains(notes, "cmp9 is among `hosts`") {
			t.Errorf("%s", notes)
		}
		if table, _ = look(true); strings.Count(table, "\n") != 5 || !strings.Contains(table, "cmp1,,10.1.1.1") {
			t.Errorf("%s", table)
		}
	})
}
