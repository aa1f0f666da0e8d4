package app

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// TestListOneCellDown: hosts that can't be listed keep no other back, unless there are many.
func TestListOneCellDown(t *testing.T) {
	loginOf(t)
	for _, tt := range []struct {
		name         string
		down         int
		listed, said int
	}{
		{"all up", 0, 3, 0},
		{"one cell down", 2, 3, 2},
		{"rather Nova", 5, 0, listFailures},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				emulated := novatest.New(novatest.Options{Now: time.Now})
				defer emulated.Close()
				hosts := []nova.HostName{"lost1", "lost2", "lost3", "lost4", "lost5"}[:tt.down]
				for _, h := range hosts {
					emulated.AddHost(h, novatest.HostOptions{Cell: "cell2"})
					emulated.Boot(h, 1, novatest.BootOptions{})
				}
				for _, h := range []nova.HostName{"cmp01", "cmp02", "cmp03"} {
					emulated.AddHost(h)
					emulated.Boot(h, 1, novatest.BootOptions{})
					hosts = append(hosts, h)
				}
				emulated.SetCell("cell2", false)
				c := newCloud(config.Nova{}, false, time.Now, slog.New(slog.DiscardHandler))
				c.options.Transport = emulated.Transport()
				err := c.list(t.Context(), hosts)
				defer func() { _ = c.client.Close() }()
				said := 0
				if err != nil {
					said = strings.Count(err.Error(), "list the servers of lost")
				}
				if _, servers := c.seen(); len(servers) != tt.listed || said != tt.said {
					t.Errorf("%d hosts are listed, want %d; %d are named, want %d: %v", len(servers), tt.listed, said, tt.said, err)
				}
			})
		})
	}
}
