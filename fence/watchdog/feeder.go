package watchdog

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// Every is how often a Feeder is to be ticked.
const Every = 500 * time.Millisecond

// Options are what a Feeder is made of.
type Options struct {
	Host, Boot string
	// Lease is how long an acknowledged heartbeat counts.
	Lease time.Duration
	// Timeout is what the device is asked for; 0: this host has no watchdog, and only
	// tells of its lease.
	Timeout time.Duration
	// Software accepts a device that a hanging kernel does not obey.
	Software bool
	// File keeps the promise over restarts of the agent.
	File  string
	Open  func(timeout time.Duration) (Device, error)
	Clock func() fence.Clocks
	Log   *slog.Logger
}

// Seen is what the agent knows of the others, asked for at each tick.
type Seen struct {
	fence.Wish
	Acked map[string]fence.Clocks
}

// Feeder owns a host's watchdog device. It is safe for concurrent use.
type Feeder struct {
	o Options

	mu      sync.Mutex
	k       *fence.Keeper
	dev     Device
	seen    Seen
	lost    map[string]fence.Clocks
	grounds fence.Grounds
	told    string // the last trouble
	late    bool   // the device was given a short time
	freed   bool   // nobody relies on a device that cannot be stopped: it is fed without a lease
	saved   bool
}

// New gives a Feeder. A device that a former run of the agent has left counting in
// this boot is taken over at once: it would reset the host.
func New(o Options) (*Feeder, error) {
	f := &Feeder{o: o, lost: map[string]fence.Clocks{}}
	former, err := f.load()
	if err != nil {
		return nil, err
	}
	f.k = fence.NewKeeper(o.Host, o.Boot, o.Lease, o.Timeout, former, o.Clock())
	if f.k.Phase() == fence.Idle {
		return f, nil
	}
	o.Log.Warn("a former run of this agent left the watchdog armed: it is taken over", "timeout", f.k.Timeout())
	if f.dev, err = o.Open(f.k.Timeout()); err != nil {
		return nil, fmt.Errorf("take over the watchdog, which will reset this host: %w", err)
	}
	if got := f.dev.Timeout(); got > f.k.Timeout() {
		return nil, errors.Join(fmt.Errorf("the watchdog now has a timeout of %s, and %s was promised: this host is left to it", got, f.k.Timeout()), f.dev.Abandon())
	}
	f.o.Timeout = f.k.Timeout()
	return f, nil
}

func (f *Feeder) load() (fence.Promise, error) {
	var p fence.Promise
	b, err := os.ReadFile(f.o.File)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		return p, fmt.Errorf("read what was promised of the watchdog: %w", err)
	}
	return p, nil
}

// save writes the promise so that it outlives the agent, and a crash leaves the
// old or the new. The kernel alone needs to have it: a power cut ends the boot.
func (f *Feeder) save() error {
	b, err := json.Marshal(f.k.Promise())
	if err != nil {
		return fmt.Errorf("write down the watchdog's promise: %w", err)
	}
	next := f.o.File + ".new"
	if err := os.MkdirAll(filepath.Dir(next), 0o700); err != nil {
		return fmt.Errorf("write down the watchdog's promise: %w", err)
	}
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return fmt.Errorf("write down the watchdog's promise: %w", err)
	}
	if err := os.Rename(next, f.o.File); err != nil {
		return fmt.Errorf("write down the watchdog's promise: %w", err)
	}
	return nil
}

func (f *Feeder) sight() fence.Sight {
	return fence.Sight{Self: f.o.Host, Now: f.o.Clock(), Acked: f.seen.Acked, Lost: f.lost}
}

// Know takes what is newly known of the others, between two ticks.
func (f *Feeder) Know(seen Seen) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = seen
}

// Tick does what is due. ask: other hosts are to be asked whether they have lost
// the controllers too.
func (f *Feeder) Tick(seen Seen) (ask bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = seen
	s := f.sight()
	step := f.k.Tick(s, seen.Wish)
	if step.Save {
		f.saved = false
	}
	if step.Arm {
		f.arm()
		return false
	}
	if !f.saved && f.k.Phase() != fence.Idle || step.Save {
		if err := f.save(); err != nil {
			f.trouble(err)
			if step.Disarm {
				return false // it goes on counting: the host is reset, and nobody runs twice
			}
		} else {
			f.saved = true
		}
	}
	switch {
	case step.Disarm:
		f.stop()
	case f.dev != nil && (step.Feed || f.freed):
		f.feed(s.Now, step)
	}
	if f.dev != nil && f.grounds != step.Grounds && !f.freed {
		f.o.Log.Warn("the watchdog's grounds changed", "grounds", orNone(step.Grounds), "former", orNone(f.grounds))
		f.grounds = step.Grounds
	}
	return step.Ask
}

func orNone(g fence.Grounds) string {
	if g == fence.ByNobody {
		return "none: this host will be reset"
	}
	return string(g)
}

// trouble is said once.
func (f *Feeder) trouble(err error) {
	if text := err.Error(); text != f.told {
		f.told = text
		f.o.Log.Error("watchdog", "reason", err)
	}
}

// arm opens the device. What is promised is on the disk before it is told.
func (f *Feeder) arm() {
	if f.dev == nil {
		dev, err := f.o.Open(f.o.Timeout)
		if err != nil {
			f.trouble(err)
			return
		}
		f.dev = dev
	}
	if info := f.dev.Info(); info.Software && !f.o.Software {
		f.trouble(fmt.Errorf("%q does not reset a kernel that hangs, and watchdog.software is not set: not armed", info.Identity))
		f.stop()
		return
	}
	if err := f.k.Arm(f.dev.Timeout()); err != nil {
		f.trouble(err)
		f.stop()
		return
	}
	f.saved, f.freed, f.late, f.grounds = false, false, false, fence.ByControllers
	if err := f.save(); err != nil {
		f.trouble(err) // Report keeps silent until it is saved
		return
	}
	f.saved, f.told = true, ""
	f.o.Log.Info("watchdog armed", "identity", f.dev.Info().Identity, "timeout", f.dev.Timeout(), "lease", f.o.Lease)
	if f.dev.Info().NoWayOut {
		f.o.Log.Warn("this watchdog cannot be disarmed: stopping the agent resets the host")
	}
}

// hasty are the times that a device is given when it was fed too late, the first
// that it takes.
var hasty = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}

func (f *Feeder) feed(before fence.Clocks, step fence.Step) {
	if f.late {
		if _, err := f.dev.SetTimeout(f.k.Timeout()); err != nil {
			f.trouble(err)
			return
		}
		f.late = false
	}
	if err := f.dev.Feed(); err != nil {
		f.trouble(err)
	}
	if f.freed || !fence.Late(before, f.o.Clock(), step.Left) {
		return
	}
	// This process stood still between the decision and the write.
	f.late = true
	for _, d := range hasty {
		if _, err := f.dev.SetTimeout(d); err == nil {
			break
		}
	}
	f.o.Log.Warn("the watchdog was fed too late: it gets a second, unless the lease is renewed")
}

// stop ends the device, if it can be ended.
func (f *Feeder) stop() {
	if f.dev == nil {
		return
	}
	if err := f.dev.Stop(); err != nil {
		if f.freed = errors.Is(err, ErrNoWayOut); f.freed {
			f.o.Log.Warn("the watchdog cannot be stopped: it is fed without a lease for as long as this agent runs")
			return
		}
		f.trouble(err)
	}
	f.dev = nil
	f.o.Log.Info("watchdog disarmed")
}

// Close leaves an armed device to count: a stop in order has disarmed it before.
func (f *Feeder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dev == nil {
		return nil
	}
	f.o.Log.Error("this agent ends and leaves its watchdog armed: the host is reset unless an agent runs again", "timeout", f.dev.Timeout())
	err := f.dev.Abandon()
	f.dev = nil
	return err
}

// Counting says that a device is counting.
func (f *Feeder) Counting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dev != nil && !f.freed
}

// Status is what heartbeats tell of it.
type Status struct {
	// Held is for how long the controllers' lease has been held without a break.
	Held time.Duration
	// Watched says that this host has a watchdog; the rest is of that.
	Watched bool
	Serial  uint64
	Armed   bool
	Terms   fence.Terms
	Info    Info
	Trouble string
}

// Status tells.
func (f *Feeder) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{Held: f.k.HeldFor(f.sight()), Trouble: f.told}
	s.Serial, s.Armed, s.Terms, s.Watched = f.k.Report()
	if f.dev != nil {
		s.Info = f.dev.Info()
	}
	if s.Armed && !f.saved {
		s.Watched = false // not before it is on the disk
	}
	return s
}

// Lost answers another host's question.
func (f *Feeder) Lost() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.k.Lost(f.sight())
}

// Told takes another host's answer that it has lost the controllers, to what was
// asked at the given time.
func (f *Feeder) Told(host string, asked fence.Clocks) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost[host].Boot < asked.Boot {
		f.lost[host] = asked
	}
}
