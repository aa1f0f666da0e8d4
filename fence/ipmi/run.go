package ipmi

import (
	"bytes"
	"context"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// grace is what a killed ipmitool has to let go of its output.
const grace = 200 * time.Millisecond

// levels are ipmitool's names of our privileges.
var levels = map[string]string{"admin": "ADMINISTRATOR", "operator": "OPERATOR"}

// run runs ipmitool once and gives all it wrote. -N 2 -R 2 ends it after 10 s by
// itself (measured on a BMC that is silent); ctx kills it before.
func (m *Method) run(ctx context.Context, command ...string) (string, error) {
	args := append([]string{"-v", "-I", "lanplus", "-H", m.host, "-p", m.port, "-U", m.opts.Username, "-E",
		"-L", levels[m.opts.Privilege], "-C", m.opts.Cipher, "-N", "2", "-R", "2"}, command...)
	cmd := exec.CommandContext(ctx, m.path, args...)
	cmd.Env = []string{"IPMITOOL_PASSWORD=" + m.opts.Password}
	cmd.WaitDelay = grace
	// A command must not outlive us: nobody would know that it is under way. The
	// signal comes when the thread that started the child ends, so keep that one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// short makes s one line of at most 160 bytes.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 160 {
		s = strings.ToValidUTF8(s[:157], "") + "..."
	}
	return s
}
