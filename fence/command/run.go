package command

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// grace is what a killed agent has to let go of its output.
	grace = 200 * time.Millisecond
	// most is how much of an agent's output is kept; metadata has some 20 KiB.
	most = 256 << 10
)

// environment is all that an agent gets: what finds ipmitool, ssh and snmpget.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}

// result is how an agent ended. err is set where its exit code means nothing.
type result struct {
	stdout, stderr string
	code           int
	err            error
}

// bounded keeps the first bytes and takes the rest without keeping it. The buffer is
// not embedded: its ReadFrom would take everything.
type bounded struct{ kept bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := most - b.kept.Len(); room > 0 {
		b.kept.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// run runs an agent once, as a group of processes of its own that is killed at the
// end of ctx, and with us: nobody would know that it is still under way.
func run(ctx context.Context, path string, stdin []byte) result {
	if ctx.Err() != nil {
		return result{code: -1, err: ctx.Err()}
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Env, cmd.Dir, cmd.Stdin = environment, "/", bytes.NewReader(stdin)
	var out, errs bounded
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = grace
	// The signal comes when the thread that started the child ends: keep that one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whatever it left behind
	}
	r := result{stdout: out.kept.String(), stderr: errs.kept.String(), code: -1}
	switch exit, ok := errors.AsType[*exec.ExitError](err); {
	case ctx.Err() != nil:
		r.err = ctx.Err()
	case err == nil:
		r.code = 0
	case ok && exit.Exited():
		r.code = exit.ExitCode()
	default: // killed by a signal, or its output is held by a child that it left
		r.err = err
	}
	return r
}

// short makes s one line of at most 160 bytes.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 160 {
		s = strings.ToValidUTF8(s[:157], "") + "..."
	}
	return s
}
