package watchdog_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/watchdog"
)

// dog is a device that resets its host when it is not fed in time.
type dog struct {
	timeout  time.Duration
	info     watchdog.Info
	timer    *time.Timer
	at       atomic.Pointer[time.Time] // when it has bitten
	feeds    int
	stopped  bool
	nowayout bool
	// stall is how long the process stands still right before a feed reaches the device.
	stall func() time.Duration
}

func (d *dog) open(timeout time.Duration) (watchdog.Device, error) {
	_, err := d.SetTimeout(timeout)
	return d, err
}

// bitten is when it has reset its host.
func (d *dog) bitten() (at time.Time) {
	if p := d.at.Load(); p != nil {
		at = *p
	}
	return at
}

func (d *dog) Timeout() time.Duration { return d.timeout }

func (d *dog) SetTimeout(timeout time.Duration) (time.Duration, error) {
	d.timeout = timeout
	return timeout, d.Feed()
}

func (d *dog) Feed() error {
	if d.stall != nil {
		time.Sleep(d.stall())
	}
	d.feeds++
	if d.timer != nil {
		d.timer.Stop()
	}
	if d.bitten().IsZero() {
		d.timer = time.AfterFunc(d.timeout, func() { now := time.Now(); d.at.Store(&now) })
	}
	return nil
}

func (d *dog) Stop() error {
	if d.nowayout {
		return watchdog.ErrNoWayOut
	}
	d.stopped = true
	d.timer.Stop()
	return nil
}

func (d *dog) Abandon() error      { return nil }
func (d *dog) Info() watchdog.Info { return d.info }

var (
	voters = []string{"ctl1", "ctl2", "ctl3"}
	ring   = []string{"cmp1", "cmp2", "cmp3"}
)

// cage is a host with its feeder.
type cage struct {
	*watchdog.Feeder
	dog   *dog
	file  string
	began time.Time
	wish  fence.Wish
	acked map[string]fence.Clocks
}

func (c *cage) clocks() fence.Clocks {
	run := time.Since(c.began) + time.Hour
	return fence.Clocks{Mono: run, Boot: run}
}

func newCage(t *testing.T) *cage {
	c := &cage{dog: &dog{info: watchdog.Info{Identity: "test"}}, file: filepath.Join(t.TempDir(), "promise"), began: time.Now(),
		wish: fence.Wish{Allowed: true, Voters: voters, Ring: ring}, acked: map[string]fence.Clocks{}}
	c.run(t)
	return c
}

// run starts the agent, or starts it anew.
func (c *cage) run(t *testing.T) {
	t.Helper()
	f, err := watchdog.New(watchdog.Options{Host: "cmp1", Boot: "b1", Lease: 10 * time.Second, Timeout: 30 * time.Second, File: c.file, Open: c.dog.open, Clock: c.clocks, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c.Feeder = f
}

// ack has these controllers acknowledge a heartbeat that is sent now.
func (c *cage) ack(ids ...string) {
	for _, id := range ids {
		c.acked[id] = c.clocks()
	}
}

func (c *cage) tick() bool { return c.Tick(watchdog.Seen{Wish: c.wish, Acked: c.acked}) }

// live goes on for so long, each second heard by these.
func (c *cage) live(d time.Duration, ids ...string) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		c.ack(ids...)
		c.tick()
		time.Sleep(watchdog.Every)
	}
}

func inBubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// TestFeeder: when the device is armed, fed, left alone and disarmed.
func TestFeeder(t *testing.T) {
	inBubble(t, "not armed where it is not allowed", func(t *testing.T) {
		c := newCage(t)
		c.wish.Allowed = false
		if c.live(time.Minute, voters...); c.dog.feeds > 0 || c.Counting() {
			t.Errorf("%d feeds", c.dog.feeds)
		}
	})
	inBubble(t, "not armed without a lease", func(t *testing.T) {
		c := newCage(t)
		if c.live(time.Minute, "ctl1"); c.dog.feeds > 0 {
			t.Errorf("%d feeds", c.dog.feeds)
		}
	})
	inBubble(t, "fed by two of three controllers, and promised on the disk before it is told", func(t *testing.T) {
		c := newCage(t)
		c.live(5*time.Minute, "ctl1", "ctl3")
		s := c.Status()
		if _, err := os.Stat(c.file); err != nil || !s.Armed || !s.Watched || !c.dog.bitten().IsZero() || s.Held < 4*time.Minute {
			t.Errorf("%v %+v, bitten %s", err, s, c.dog.bitten())
		}
	})
	inBubble(t, "the file cannot be written: nothing is told", func(t *testing.T) {
		c := newCage(t)
		if err := os.MkdirAll(filepath.Join(c.file, "in the way"), 0o700); err != nil {
			t.Fatal(err)
		}
		if c.live(20*time.Second, voters...); c.Status().Watched {
			t.Error("told what is not on the disk")
		}
	})
	inBubble(t, "softdog needs a word", func(t *testing.T) {
		c := newCage(t)
		c.dog.info.Software = true
		if c.live(time.Minute, voters...); c.Status().Armed || !c.dog.stopped || c.Status().Trouble == "" {
			t.Errorf("%+v", c.Status())
		}
	})
	inBubble(t, "cut off, it bites within lease and timeout", func(t *testing.T) {
		c := newCage(t)
		c.live(time.Minute, voters...)
		cut := time.Now()
		c.live(2 * time.Minute)
		if took := c.dog.bitten().Sub(cut); c.dog.bitten().IsZero() || took > 41*time.Second || took < 30*time.Second {
			t.Errorf("bitten after %s", took)
		}
	})
	inBubble(t, "the controllers are gone, and half of the ring says so", func(t *testing.T) {
		c := newCage(t)
		c.live(time.Minute, voters...)
		for range 20 * 60 {
			c.Told("cmp2", c.clocks())
			c.tick()
			time.Sleep(watchdog.Every)
		}
		if !c.dog.bitten().IsZero() || c.Status().Held > 0 || !c.Lost() {
			t.Errorf("bitten %s, held %s", c.dog.bitten(), c.Status().Held)
		}
	})
	inBubble(t, "disarmed only when the ledger has noted it", func(t *testing.T) {
		c := newCage(t)
		c.live(time.Minute, voters...)
		c.wish.Leaving = true
		if c.live(10*time.Second, voters...); c.dog.stopped || !c.Counting() {
			t.Error("stopped before it was noted")
		}
		c.wish.Noted = c.Status().Serial
		if c.live(time.Second, voters...); !c.dog.stopped || c.Counting() {
			t.Error("not stopped although it was noted")
		}
	})
	inBubble(t, "nowayout is fed without a lease", func(t *testing.T) {
		c := newCage(t)
		c.dog.nowayout = true
		c.live(time.Minute, voters...)
		c.wish.Leaving = true
		c.live(2*time.Second, voters...)
		c.wish.Noted = c.Status().Serial
		if c.live(5 * time.Minute); !c.dog.bitten().IsZero() || c.Counting() {
			t.Errorf("bitten %s", c.dog.bitten())
		}
	})
	inBubble(t, "an agent that starts anew takes it over with the terms of before", func(t *testing.T) {
		c := newCage(t)
		c.live(time.Minute, voters...)
		before := c.Status()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		c.run(t)
		c.live(time.Minute, voters...)
		if after := c.Status(); !after.Armed || after.Serial <= before.Serial || !c.dog.bitten().IsZero() || after.Terms.Timeout != before.Terms.Timeout {
			t.Errorf("%+v, %+v", before, after)
		}
	})
	inBubble(t, "a device that takes another time than was promised is left to bite", func(t *testing.T) {
		c := newCage(t)
		c.live(time.Minute, voters...)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := watchdog.New(watchdog.Options{Host: "cmp1", Boot: "b1", Lease: 10 * time.Second, Timeout: 30 * time.Second, File: c.file, Clock: c.clocks, Log: slog.New(slog.DiscardHandler),
			Open: func(time.Duration) (watchdog.Device, error) { return c.dog.open(time.Minute) }})
		if err == nil {
			t.Error("taken over")
		}
		c.dog.timer.Stop()
	})
	inBubble(t, "an unreadable promise is not guessed", func(t *testing.T) {
		c := newCage(t)
		if err := os.WriteFile(c.file, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := watchdog.New(watchdog.Options{Host: "cmp1", Boot: "b1", File: c.file, Open: func(time.Duration) (watchdog.Device, error) { return nil, errors.New("no") }, Clock: c.clocks, Log: slog.New(slog.DiscardHandler)}); err == nil {
			t.Error("no error")
		}
	})
}

// TestCutHostIsResetBeforeTheProof cuts a host off at random times, each direction and
// each controller at another, has its agent stand still at random, also between its
// decision and the device, and asks each half second whether the leader has a proof: the
// host must have been reset by then, every time. LIFEBOAT_WATCHDOG_RUNS says how often.
func TestCutHostIsResetBeforeTheProof(t *testing.T) {
	runs := 10
	if n, err := strconv.Atoi(os.Getenv("LIFEBOAT_WATCHDOG_RUNS")); err == nil {
		runs = n
	}
	var least, most time.Duration = time.Hour, 0
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) {
			ahead := cutAndProve(t, rand.New(rand.NewPCG(uint64(seed), 4)))
			least, most = min(least, ahead), max(most, ahead)
		})
	}
	t.Logf("%d runs: reset %s to %s before the proof", runs, least.Round(time.Second), most.Round(time.Second))
}

// cutAndProve gives how long before the proof the host was reset.
func cutAndProve(t *testing.T, r *rand.Rand) time.Duration {
	c := newCage(t)
	between := func(a, b time.Duration) time.Duration { return a + time.Duration(r.Int64N(int64(b-a))) }
	c.dog.stall = func() time.Duration {
		if r.IntN(20) == 0 {
			return between(0, 8*time.Second) // shorter than the lease: longer ones are the window that docs/fencing.md names
		}
		return 0
	}
	began := time.Now()
	at := began.Add(between(30*time.Second, 2*time.Minute))
	type link struct{ to, from time.Time } // until when each direction works
	links := map[string]link{}
	for _, id := range voters {
		links[id] = link{at.Add(between(0, 15*time.Second)), at.Add(between(0, 15*time.Second))}
	}
	heard := map[string]time.Time{}
	var mu sync.Mutex // of heard and said; never held over a sleep, which would stop virtual time
	var said watchdog.Status
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // the agent: heartbeats each second, ticks in between, and now and then it stands still
		defer close(done)
		for n := 0; ctx.Err() == nil && c.dog.bitten().IsZero(); n++ {
			if r.IntN(60) == 0 {
				time.Sleep(between(0, 25*time.Second))
			}
			if n%2 == 0 {
				now := time.Now()
				mu.Lock()
				for id, l := range links {
					if now.Before(l.to) {
						heard[id] = now
						if now.Before(l.from) {
							c.acked[id] = c.clocks()
						}
					}
				}
				mu.Unlock()
			}
			c.tick()
			s := c.Status()
			mu.Lock()
			said = s
			mu.Unlock()
			time.Sleep(watchdog.Every)
		}
	}()
	defer func() { cancel(); <-done }()
	for time.Since(began) < 20*time.Minute {
		time.Sleep(500 * time.Millisecond)
		now := time.Now()
		mu.Lock()
		s := said
		covered := fence.Covered{Boot: "b1", Start: "s1", Serial: s.Serial, Armed: s.Armed, Terms: s.Terms}
		var hearings []fence.Hearing
		for _, id := range voters {
			hearings = append(hearings, fence.Hearing{Controller: id, Boot: "b1", Start: "s1", Heard: heard[id], Until: now})
		}
		mu.Unlock()
		claims := []fence.Claim{{Host: "cmp2", From: began, To: now}, {Host: "cmp3", From: began, To: now}}
		e, err := covered.Expiry("cmp1", "b1", hearings, claims, now)
		if err != nil {
			continue
		}
		if _, err := fence.Expire("cmp1", "b1", e); err != nil {
			continue
		}
		if c.dog.bitten().IsZero() {
			t.Errorf("a proof %s after the cut began, and the host runs", now.Sub(at))
			return 0
		}
		return now.Sub(c.dog.bitten())
	}
	t.Error("no proof within 20 minutes")
	return 0
}
