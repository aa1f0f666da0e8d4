package evacuate

import (
	"testing"
	"time"
)

// TestNewer: what a wrong clock dated into the future gives way to the next reading.
func TestNewer(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name              string
		seen, known, want time.Duration
	}{
		{"newer", 0, -time.Hour, 0},
		{"older", -2 * time.Hour, -time.Hour, -time.Hour},
		{"within what clocks differ", 0, time.Minute, time.Minute},
		{"known of the future", 0, time.Hour, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := newer(at, at.Add(c.seen), at.Add(c.known)); !got.Equal(at.Add(c.want)) {
				t.Errorf("got %s, want %s", got.Sub(at), c.want)
			}
		})
	}
	if known := at.Add(time.Hour); !newer(at, time.Time{}, known).Equal(known) {
		t.Error("nothing seen took the place of what is known")
	}
}
