package clock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/clock"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestElapsed(t *testing.T) {
	const tenth = 100 * time.Millisecond
	for name, c := range map[string]struct {
		wall, mono, boot time.Duration
		want             time.Duration
		jumped           bool
	}{
		"agree":                   {time.Second, time.Second, time.Second, time.Second, false},
		"none":                    {0, 0, 0, 0, false},
		"within the tolerance":    {time.Second + 5*tenth, time.Second, time.Second, time.Second + 5*tenth, false},
		"wall stepped forward":    {time.Minute, time.Second, time.Second, time.Minute, true},
		"wall stepped back":       {-time.Minute, time.Second, time.Second, time.Second, true},
		"leap second":             {2 * time.Second, time.Second, time.Second, 2 * time.Second, true},
		"suspended":               {time.Minute, time.Second, time.Minute, time.Minute, true},
		"restored snapshot":       {time.Hour, time.Second, time.Second, time.Hour, true},
		"other boot":              {time.Minute, -time.Hour, -time.Hour, time.Minute, true},
		"mono a little backwards": {0, -1, 0, 0, true},
		"boot a little backwards": {0, 0, -1, 0, true},
		"wall slewed a little":    {-tenth, tenth, tenth, tenth, false},
	} {
		from := clock.Reading{Wall: epoch, Mono: 24 * time.Hour, Boot: 25 * time.Hour}
		to := clock.Reading{Wall: epoch.Add(c.wall), Mono: from.Mono + c.mono, Boot: from.Boot + c.boot}
		if d, jumped := clock.Elapsed(from, to); d != c.want || jumped != c.jumped {
			t.Errorf("%s: %v, jumped %v; want %v, %v", name, d, jumped, c.want, c.jumped)
		}
	}
}

// Sub of two times of time.Now takes their monotonic parts and would hide a
// stepped wall clock.
func TestElapsedComparesWallClocks(t *testing.T) {
	now := time.Now()
	from := clock.Reading{Wall: now, Mono: time.Hour, Boot: time.Hour}
	to := clock.Reading{Wall: now.Round(0).Add(time.Minute), Mono: time.Hour, Boot: time.Hour}
	if _, jumped := clock.Elapsed(from, to); !jumped {
		t.Error("a minute's step of the wall clock went unseen")
	}
}

func TestDeadline(t *testing.T) {
	f := clock.NewFake(epoch)
	d := clock.NewDeadline(f.Read(), 10*time.Second)
	f.Advance(4 * time.Second)
	if left, ok := d.Left(f.Read()); left != 6*time.Second || !ok {
		t.Errorf("after 4 s of 10: %v, %v", left, ok)
	}
	f.Advance(6 * time.Second)
	if left, ok := d.Left(f.Read()); left != 0 || ok {
		t.Errorf("at its end: %v, %v", left, ok)
	}
	if _, ok := (clock.Deadline{}).Left(f.Read()); ok {
		t.Error("the zero deadline has not passed")
	}
}

func TestDeadlinePassesWithAJump(t *testing.T) {
	for name, jump := range map[string]func(*clock.Fake){
		"suspend":      func(f *clock.Fake) { f.Suspend(time.Second) },
		"step forward": func(f *clock.Fake) { f.StepWall(time.Second) },
		"step back":    func(f *clock.Fake) { f.StepWall(-time.Second) },
	} {
		f := clock.NewFake(epoch)
		d := clock.NewDeadline(f.Read(), time.Hour)
		f.Advance(time.Second)
		if _, ok := d.Left(f.Read()); !ok {
			t.Fatalf("%s: passed before the jump", name)
		}
		jump(f)
		if _, ok := d.Left(f.Read()); ok {
			t.Errorf("%s: an hour's deadline survived", name)
		}
	}
}

func TestFakeWakesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := clock.NewFake(epoch)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan time.Duration, 3)
		for _, d := range []time.Duration{3 * time.Second, time.Second} {
			go func() {
				if f.Sleep(ctx, d) == nil {
					got <- d
				}
			}()
		}
		synctest.Wait()
		f.Advance(2 * time.Second)
		synctest.Wait()
		if len(got) != 1 || <-got != time.Second {
			t.Fatal("Advance(2s) did not wake just the sleeper of one second")
		}
		cancel()
		synctest.Wait()
		if n := f.Sleepers(); n != 0 {
			t.Errorf("%d sleepers left after cancel", n)
		}
	})
}

func TestVirtualFollowsTheBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.Virtual()
		from := c.Read()
		if err := c.Sleep(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		if d, jumped := clock.Elapsed(from, c.Read()); d != time.Hour || jumped {
			t.Errorf("%v, jumped %v", d, jumped)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Sleep beyond its context: %v", err)
		}
	})
}

func TestSystemsClocksAgree(t *testing.T) {
	c := clock.System()
	from, began := c.Read(), c.Now()
	if err := c.Sleep(t.Context(), 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	d, jumped := clock.Elapsed(from, c.Read())
	if jumped || d < 20*time.Millisecond || d > c.Now().Sub(began)+clock.Tolerance {
		t.Errorf("%v, jumped %v", d, jumped)
	}
	if from.Boot < from.Mono {
		t.Errorf("BOOTTIME %v is behind MONOTONIC %v", from.Boot, from.Mono)
	}
}
