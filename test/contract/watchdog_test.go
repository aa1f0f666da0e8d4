//go:build contract

package contract

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
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

// TestWatchdogProcess cuts a host off that is a process, at random times, stops it
// (SIGSTOP) meanwhile, and has a process outside of it, this one, be its softdog: it
// is killed when it was not fed in time. It must be dead before the leader has a proof.
func TestWatchdogProcess(t *testing.T) {
	t.Parallel()
	child := exec.Command(os.Args[0], "-test.run=^TestWatchedChild$")
	child.Env = append(os.Environ(), watchedChild+"="+t.TempDir())
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	leash, collar, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	child.ExtraFiles = []*os.File{collar}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	_ = collar.Close()
	var mu sync.Mutex
	var killed time.Time
	kill := func() { _ = syscall.Kill(-child.Process.Pid, syscall.SIGKILL) }
	dead := make(chan struct{})
	go func() { _ = child.Wait(); mu.Lock(); killed = time.Now(); mu.Unlock(); close(dead) }()
	t.Cleanup(func() { kill(); <-dead })
	go guard(leash, kill)

	began := time.Now()
	cut := began.Add(12*time.Second + rand.N(3*time.Second))
	type way struct{ to, from time.Time }
	ways, heard := map[string]way{}, map[string]time.Time{}
	for _, id := range watchedVoters {
		ways[id] = way{cut.Add(rand.N(3 * time.Second)), cut.Add(rand.N(3 * time.Second))}
	}
	var last watchdog.Status
	go func() {
		lines := json.NewDecoder(out)
		for {
			var b beat
			if lines.Decode(&b) != nil {
				return
			}
			now := time.Now()
			mu.Lock()
			last = b.Status
			for id, w := range ways {
				if now.Before(w.to) {
					heard[id] = now
					if now.Before(w.from) {
						_ = json.NewEncoder(in).Encode(ack{id, b.Clocks})
					}
				}
			}
			mu.Unlock()
		}
	}()
	pause := time.AfterFunc(time.Until(cut)+rand.N(4*time.Second), func() {
		_ = syscall.Kill(-child.Process.Pid, syscall.SIGSTOP)
		time.AfterFunc(time.Second+rand.N(5*time.Second), func() { _ = syscall.Kill(-child.Process.Pid, syscall.SIGCONT) })
	})
	defer pause.Stop()
	for time.Since(began) < 2*time.Minute {
		time.Sleep(100 * time.Millisecond)
		now := time.Now()
		mu.Lock()
		covered := fence.Covered{Boot: "b1", Start: "s1", Serial: last.Serial, Armed: last.Armed, Terms: last.Terms}
		var hearings []fence.Hearing
		for _, id := range watchedVoters {
			hearings = append(hearings, fence.Hearing{Controller: id, Boot: "b1", Start: "s1", Heard: heard[id], Until: now})
		}
		was := killed
		mu.Unlock()
		claims := []fence.Claim{{Host: "cmp2", From: began, To: now}, {Host: "cmp3", From: began, To: now}}
		e, err := covered.Expiry("cmp1", "b1", hearings, claims, now)
		if err != nil {
			continue
		}
		if _, err := fence.Expire("cmp1", "b1", e); err != nil {
			continue
		}
		if was.IsZero() {
			t.Fatalf("a proof %s after the cut, and the process runs", now.Sub(cut))
		}
		if was.Before(cut) {
			t.Fatalf("it was reset %s before the cut", cut.Sub(was))
		}
		t.Logf("cut after %s, reset %s later, proof %s after that", cut.Sub(began).Round(time.Second), was.Sub(cut).Round(100*time.Millisecond), now.Sub(was).Round(100*time.Millisecond))
		return
	}
	t.Error("no proof within two minutes")
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
