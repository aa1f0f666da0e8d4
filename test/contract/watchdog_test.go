//go:build contract

package contract

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/watchdog"
)

const (
	watchedChild   = "LIFEBOAT_WATCHED_CHILD"
	watchedLease   = 5 * time.Second
	watchedTimeout = 10 * time.Second
)

var watchedVoters, watchedRing = []string{"ctl1", "ctl2", "ctl3"}, []string{"cmp1", "cmp2", "cmp3"}

// beat is a heartbeat of the child, ack a controller's acknowledgement of it.
type beat struct {
	Clocks fence.Clocks
	Status watchdog.Status
}

type ack struct {
	From   string
	Clocks fence.Clocks
}

// TestWatchdogProcess cuts hosts off that are processes, at random times, stops them
// (SIGSTOP) meanwhile, and has a process outside of them, this one, be their softdog: one
// is killed when it was not fed in time. It must be dead before the leader has a proof.
// LIFEBOAT_WATCHDOG_RUNS says how many (10), LIFEBOAT_WATCHDOG_SEED repeats the times of a
// run before. Runs overlap: for the most part they wait.
func TestWatchdogProcess(t *testing.T) {
	t.Parallel()
	runs, seed := watchedNumber(t, "LIFEBOAT_WATCHDOG_RUNS", 10), watchedNumber(t, "LIFEBOAT_WATCHDOG_SEED", rand.Uint64()>>1)
	t.Logf("%d runs, LIFEBOAT_WATCHDOG_SEED=%d", runs, seed)
	var all sync.WaitGroup
	var mu sync.Mutex
	var resets, proofs, gaps []time.Duration
	turns := make(chan struct{}, watchedAtOnce)
	for n := range runs {
		dir := t.TempDir()
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			fate := newFate(rand.New(rand.NewPCG(seed, n)))
			reset, proof, err := (&watched{fate: fate, heard: map[string]time.Time{}}).run(dir)
			if err != nil {
				t.Errorf("run %d of %d, LIFEBOAT_WATCHDOG_SEED=%d: %v\n%+v", n, runs, seed, err, fate)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			resets, proofs, gaps = append(resets, reset), append(proofs, proof), append(gaps, proof-reset)
		})
	}
	all.Wait()
	t.Logf("%d of %d: reset before proof", len(gaps), runs)
	for i, d := range [][]time.Duration{resets, proofs, gaps} {
		if slices.Sort(d); len(d) > 0 {
			what := []string{"from the cut to the reset", "from the cut to the proof", "from the reset to the proof"}[i]
			t.Logf("%s: %s to %s, median %s", what, d[0].Round(10*time.Millisecond), d[len(d)-1].Round(10*time.Millisecond), d[len(d)/2].Round(10*time.Millisecond))
		}
	}
}

// watchedAtOnce is how many runs overlap.
const watchedAtOnce = 25

func watchedNumber(t *testing.T, name string, other uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return other
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// fate is what is done to a host: all of it is drawn from the seed before it starts.
type fate struct {
	Cut time.Duration // after its start
	// To and From are, by controller, how long after the cut what it sends arrives, and
	// what is answered.
	To, From map[string]time.Duration
	// Stops are when it is stopped, after the cut, and for how long.
	Stops [][2]time.Duration
}

func newFate(r *rand.Rand) fate {
	some := func(most time.Duration) time.Duration { return time.Duration(r.Int64N(int64(most))) }
	f := fate{Cut: 12*time.Second + some(3*time.Second), To: map[string]time.Duration{}, From: map[string]time.Duration{}}
	for _, id := range watchedVoters {
		f.To[id], f.From[id] = some(3*time.Second), some(3*time.Second)
	}
	at := -time.Second
	for range 1 + r.IntN(3) {
		at += some(5 * time.Second)
		long := 200*time.Millisecond + some(6*time.Second)
		f.Stops = append(f.Stops, [2]time.Duration{at, long})
		at += long
	}
	return f
}

// watched is one run: a host that is a process, its softdog, and a leader.
type watched struct {
	fate

	mu     sync.Mutex
	killed time.Time
	last   watchdog.Status
	heard  map[string]time.Time // by controller
}

// run gives how long after the cut the host was reset and proven dead.
func (w *watched) run(dir string) (reset, proof time.Duration, err error) {
	child := exec.Command(os.Args[0], "-test.run=^TestWatchedChild$")
	child.Env = append(os.Environ(), watchedChild+"="+dir, "GOMAXPROCS=1")
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := child.StdinPipe()
	if err != nil {
		return 0, 0, err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	leash, collar, err := os.Pipe()
	if err != nil {
		return 0, 0, err
	}
	child.ExtraFiles = []*os.File{collar}
	if err := child.Start(); err != nil {
		return 0, 0, err
	}
	_ = collar.Close()
	dead := make(chan struct{})
	kill := func() { _ = child.Process.Kill() }
	go guard(leash, kill)
	began := time.Now()
	cut := began.Add(w.Cut)
	go func() {
		w.listen(out, in, cut)
		_ = child.Wait()
		w.mu.Lock()
		w.killed = time.Now()
		w.mu.Unlock()
		close(dead)
	}()
	defer func() { kill(); <-dead; _ = leash.Close() }()
	for _, s := range w.Stops {
		at := cut.Add(s[0])
		stop := time.AfterFunc(time.Until(at), func() { _ = child.Process.Signal(syscall.SIGSTOP) })
		wake := time.AfterFunc(time.Until(at.Add(s[1])), func() { _ = child.Process.Signal(syscall.SIGCONT) })
		defer func() { stop.Stop(); wake.Stop() }()
	}
	for time.Since(began) < 2*time.Minute {
		time.Sleep(100 * time.Millisecond)
		now := time.Now()
		was, covered, hearings := w.known(now)
		claims := []fence.Claim{{Host: "cmp2", From: began, To: now}, {Host: "cmp3", From: began, To: now}}
		e, err := covered.Expiry("cmp1", "b1", hearings, claims, now)
		if err != nil {
			continue
		}
		if _, err := fence.Expire("cmp1", "b1", e); err != nil {
			continue
		}
		if was.IsZero() {
			return 0, 0, fmt.Errorf("a proof %s after the cut, and the process runs", now.Sub(cut))
		}
		if was.Before(cut) {
			return 0, 0, fmt.Errorf("it was reset %s before the cut", cut.Sub(was))
		}
		return was.Sub(cut), now.Sub(cut), nil
	}
	return 0, 0, errors.New("no proof within two minutes")
}

// known is what the leader has of it at an instant. That it was killed is asked last.
func (w *watched) known(now time.Time) (killed time.Time, c fence.Covered, hearings []fence.Hearing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c = fence.Covered{Boot: "b1", Start: "s1", Serial: w.last.Serial, Armed: w.last.Armed, Terms: w.last.Terms}
	for _, id := range watchedVoters {
		hearings = append(hearings, fence.Hearing{Controller: id, Boot: "b1", Start: "s1", Heard: w.heard[id], Until: now})
	}
	return w.killed, c, hearings
}

// listen is the controllers, until the host is gone.
func (w *watched) listen(out io.Reader, in io.Writer, cut time.Time) {
	lines, answers := json.NewDecoder(out), json.NewEncoder(in)
	for {
		var b beat
		if lines.Decode(&b) != nil {
			return
		}
		now := time.Now()
		w.mu.Lock()
		w.last = b.Status
		for _, id := range watchedVoters {
			if now.Before(cut.Add(w.To[id])) {
				w.heard[id] = now
				if now.Before(cut.Add(w.From[id])) {
					_ = answers.Encode(ack{id, b.Clocks})
				}
			}
		}
		w.mu.Unlock()
	}
}

// guard is a softdog: each line is a feed, and says for how long.
func guard(leash io.Reader, kill func()) {
	var timer *time.Timer
	lines := bufio.NewScanner(leash)
	for lines.Scan() {
		d, err := time.ParseDuration(lines.Text())
		if err != nil {
			continue
		}
		if timer != nil {
			timer.Stop()
		}
		timer = time.AfterFunc(d, kill)
	}
}

// TestWatchedChild is the host: it does nothing unless it was started as one.
func TestWatchedChild(t *testing.T) {
	dir := os.Getenv(watchedChild)
	if dir == "" {
		return
	}
	clk := clock.System()
	clocks := func() fence.Clocks { r := clk.Read(); return fence.Clocks{Mono: r.Mono, Boot: r.Boot} }
	dev := &collared{out: os.NewFile(3, "collar")}
	f, err := watchdog.New(watchdog.Options{Host: "cmp1", Boot: "b1", Lease: watchedLease, Timeout: watchedTimeout, File: filepath.Join(dir, "promise"), Clock: clocks, Log: slog.New(slog.DiscardHandler),
		Open: func(timeout time.Duration) (watchdog.Device, error) {
			_, err := dev.SetTimeout(timeout)
			return dev, err
		}})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	acked := map[string]fence.Clocks{}
	go func() {
		for lines := json.NewDecoder(os.Stdin); ; {
			var a ack
			if lines.Decode(&a) != nil {
				return
			}
			mu.Lock()
			acked[a.From] = a.Clocks
			mu.Unlock()
		}
	}()
	for {
		mu.Lock()
		now := map[string]fence.Clocks{}
		for id, c := range acked {
			now[id] = c
		}
		mu.Unlock()
		f.Tick(watchdog.Seen{Wish: fence.Wish{Allowed: true, Voters: watchedVoters, Ring: watchedRing}, Acked: now})
		if json.NewEncoder(os.Stdout).Encode(beat{clocks(), f.Status()}) != nil {
			return
		}
		time.Sleep(watchdog.Every)
	}
}

// collared feeds the softdog at the other end of a pipe.
type collared struct {
	out     *os.File
	timeout time.Duration
}

func (c *collared) Timeout() time.Duration { return c.timeout }

func (c *collared) SetTimeout(d time.Duration) (time.Duration, error) {
	c.timeout = d
	return d, c.Feed()
}

func (c *collared) Feed() error {
	_, err := fmt.Fprintln(c.out, c.timeout)
	return err
}

func (c *collared) Stop() error         { return nil }
func (c *collared) Abandon() error      { return nil }
func (c *collared) Info() watchdog.Info { return watchdog.Info{Identity: "a process outside"} }
