package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Unit is one service to be watched: a unit of systemd, or whatever the operator's own
// programs check and restart.
type Unit struct {
	Name string
	// Check ends with 0 if it is well; Restart restarts it. Both nil: systemd is asked for
	// the unit of that name.
	Check, Restart []string
	// After names the one that must be active before this one is restarted.
	After string
}

const (
	// checkTime and restartTime bound one call.
	checkTime   = 5 * time.Second
	restartTime = 30 * time.Second
)

// MonitorOptions make a Monitor.
type MonitorOptions struct {
	Units []Unit
	// Limit is how many restarts in a row are tried.
	Limit int
	// Watches says that nothing may be touched now: what would be done is logged.
	Watches func() bool
	Now     func() time.Time
	Log     *slog.Logger
	// Run runs a program and gives what it printed; nil: as it is.
	Run func(ctx context.Context, argv []string) (string, error)
}

// Monitor watches services, and restarts what has failed.
type Monitor struct {
	o  MonitorOptions
	mu sync.Mutex
	// wards are in the order of the units.
	wards []*Ward
}

// NewMonitor makes one; Look does its work.
func NewMonitor(o MonitorOptions) *Monitor {
	if o.Run == nil {
		o.Run = runProgram
	}
	m := &Monitor{o: o}
	for _, u := range o.Units {
		m.wards = append(m.wards, &Ward{Name: u.Name, After: u.After, Limit: o.Limit})
	}
	return m
}

// Words are what a heartbeat says of each.
func (m *Monitor) Words() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]string, len(m.wards))
	for _, w := range m.wards {
		out[w.Name] = w.Word()
	}
	return out
}

// Look reads all of them once, in order, and restarts those that are due.
func (m *Monitor) Look(ctx context.Context) {
	for i, u := range m.o.Units {
		condition, why := m.read(ctx, u)
		if ctx.Err() != nil {
			return
		}
		watches := m.o.Watches()
		m.mu.Lock()
		w, now := m.wards[i], m.o.Now()
		before := w.condition
		w.See(condition, why, now)
		due := w.Due(m.active, now)
		switch {
		case due && watches:
			w.Spared(now)
		case due:
			w.Tried(now)
		}
		m.mu.Unlock()
		if before != condition && before != "" {
			m.o.Log.Warn("a service of this host changed", "service", u.Name, "former", before, "state", condition, "reason", why)
		}
		switch {
		case due && watches:
			m.o.Log.Warn("a service would be restarted, but the mode only watches", "service", u.Name)
		case due:
			m.restart(ctx, u)
		}
	}
}

// active is asked under the lock.
func (m *Monitor) active(name string) bool {
	for _, w := range m.wards {
		if w.Name == name {
			return w.Active()
		}
	}
	return false
}

func (m *Monitor) restart(ctx context.Context, u Unit) {
	argv := u.Restart
	if len(argv) == 0 {
		// Its start may wait for the start gate: it is only asked for.
		argv = []string{"systemctl", "--no-block", "restart", "--", u.Name}
	}
	ctx, cancel := context.WithTimeout(ctx, restartTime)
	defer cancel()
	_, err := m.o.Run(ctx, argv)
	m.o.Log.Warn("a service that had failed is restarted", "service", u.Name, "ok", err == nil, "reason", err)
}

// read tells a unit's condition.
func (m *Monitor) read(ctx context.Context, u Unit) (Condition, string) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if len(u.Check) > 0 {
		_, err := m.o.Run(ctx, u.Check)
		_, ended := errors.AsType[*exec.ExitError](err)
		switch {
		case err == nil:
			return Active, ""
		case ended && ctx.Err() == nil:
			return Failed, ""
		}
		return Unread, short(err.Error())
	}
	out, err := m.o.Run(ctx, []string{"systemctl", "show", "--property=LoadState,ActiveState,SubState,Result", "--", u.Name})
	if err != nil {
		return Unread, short(err.Error())
	}
	return unitCondition(out)
}

// unitCondition reads what systemd says of a unit (systemd.unit(5), org.freedesktop.systemd1(5)).
func unitCondition(show string) (Condition, string) {
	said := map[string]string{}
	for line := range strings.Lines(show) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		said[k] = v
	}
	switch state := said["ActiveState"]; {
	case said["LoadState"] == "not-found" || said["LoadState"] == "masked":
		return Unread, "the unit is " + said["LoadState"]
	case state == "active" || state == "reloading":
		return Active, ""
	case state == "activating" && (said["SubState"] == "start-pre" || said["SubState"] == "condition"):
		return Waiting, ""
	case state == "activating":
		return Starting, ""
	case state == "failed":
		return Failed, said["Result"]
	case state == "inactive":
		return Stopped, ""
	case state == "deactivating":
		return Stopping, ""
	}
	return Unread, fmt.Sprintf("systemd says %q", said["ActiveState"])
}

// runProgram runs one, as a group of processes of its own that is killed at the end of
// ctx.
func runProgram(ctx context.Context, argv []string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run()
	const most = 4096
	return string(out.Bytes()[:min(out.Len(), most)]), err
}

func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	const most = 40
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}
