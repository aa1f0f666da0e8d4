package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// commandTakes bounds a program that prints a secret, commandsAtOnce how many run
	// side by side: a vault must not be flooded by a start.
	commandTakes   = 10 * time.Second
	commandsAtOnce = 8
	// mostSecret bounds what it prints.
	mostSecret = 4 << 10
)

// commands are the programs that print secrets. Each call is made once, however many
// hosts share it.
type commands struct {
	mu    sync.Mutex
	known map[string]*printed
	slots chan struct{}
}

type printed struct {
	once  sync.Once
	value string
	err   error
}

func newCommands() *commands {
	return &commands{known: map[string]*printed{}, slots: make(chan struct{}, commandsAtOnce)}
}

// prepare runs the programs of all secrets side by side.
func (c *commands) prepare(all []*Secret) {
	var wg sync.WaitGroup
	for _, s := range all {
		if len(s.Command) > 0 {
			wg.Go(func() { _, _ = c.run(s.Command) })
		}
	}
	wg.Wait()
}

func (c *commands) run(argv []string) (string, error) {
	key := strings.Join(argv, "\x00")
	c.mu.Lock()
	p := c.known[key]
	if p == nil {
		p = &printed{}
		c.known[key] = p
	}
	c.mu.Unlock()
	p.once.Do(func() {
		c.slots <- struct{}{}
		defer func() { <-c.slots }()
		p.value, p.err = runCommand(argv)
	})
	return p.value, p.err
}

// runCommand gives what a program prints on standard output. It is killed with all
// that it started when its time is over. Nothing that it prints stands in an error.
func runCommand(argv []string) (string, error) {
	if err := trusted(argv[0]); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTakes)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	out := &limited{}
	cmd.Stdout = out
	// The signal comes when the thread that started the child ends: keep that one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whatever it left behind
	}
	exit, failed := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s has printed no secret within %s", argv[0], commandTakes)
	case failed:
		return "", fmt.Errorf("%s failed (%s): call it by hand as the user of this process", argv[0], exit.ProcessState)
	case errors.Is(err, exec.ErrWaitDelay):
		return "", fmt.Errorf("%s left a process behind that holds its output", argv[0])
	case err != nil:
		return "", fmt.Errorf("%s could not be called: %w", argv[0], err)
	case out.over:
		return "", fmt.Errorf("%s printed more than %d bytes: that is no secret", argv[0], mostSecret)
	}
	return out.kept.String(), nil
}

// trusted refuses a program that others may change: it would speak for our secrets.
func trusted(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("command %q: give the program's whole path", path)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return unreadable(path, err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("%s is no program", path)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s may be changed by others than its owner (mode %04o): chmod go-w %s", path, info.Mode().Perm(), path)
	}
	return nil
}

// limited keeps the first bytes that are written. The buffer is not embedded: its
// ReadFrom would take everything.
type limited struct {
	kept bytes.Buffer
	over bool
}

// Write takes everything, so that the writer is not stopped amid it.
func (l *limited) Write(p []byte) (int, error) {
	n := len(p)
	if room := mostSecret - l.kept.Len(); n > room {
		l.over, p = true, p[:room]
	}
	_, _ = l.kept.Write(p)
	return n, nil
}

// command checks a secret's program, as far as the file goes.
func (inv *inventory) command(path string, s Secret) {
	if !filepath.IsAbs(s.Command[0]) {
		inv.d.fault(path, "command %q: give the program's whole path first, then its arguments; no shell reads them", s.Command[0])
	}
}

// secrets are all that the file refers to.
func (c *Controller) secrets() (all []*Secret) {
	for _, s := range c.StorageFence.Secrets {
		all = append(all, &s)
	}
	for i := range c.Notify {
		all = append(all, &c.Notify[i].Secret, &c.Notify[i].URLFrom)
	}
	all = append(all, &c.VIP.Checks.RabbitMQ.Password)
	for i := range c.Hosts {
		for j := range c.Hosts[i].BMC {
			b := &c.Hosts[i].BMC[j]
			all = append(all, &b.Password)
			for _, s := range b.Secrets {
				all = append(all, &s)
			}
			for k := range b.Outlets {
				all = append(all, &b.Outlets[k].Password)
				for _, s := range b.Outlets[k].Secrets {
					all = append(all, &s)
				}
			}
		}
	}
	return all
}
