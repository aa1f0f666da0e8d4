package sim

import (
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"
	"fmt"

	"github.com/lifeboat-ha/lifeboat/config"
)

func TestFirst(t *testing.T) {
	n := 6
	if s := os.Getenv("N"); s != "" { fmt.Sscan(s, &n) }
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		lvl := slog.LevelError
		if os.Getenv("LOG") != "" { lvl.UnmarshalText([]byte(os.Getenv("LOG"))) }
		s := DefaultSetup(); s.Hosts = n
		p := config.DefaultPolicy()
		p.Mode, p.Storage = "auto", "shared"
		c, err := Open(t.Context(), s, p, 1, dir, slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: lvl}))
		if err != nil { t.Error(err) } else {
		t.Log("ready after", time.Since(c.net.origin))
		time.Sleep(10*time.Second)
		c.hosts[2].power.Power(false)
		time.Sleep(110*time.Second)
		}
		for _, e := range c.Events() { t.Logf("%8s %-8s %s", short(e.At), e.Kind, e.Text) }
		c.Close()
	})
}
