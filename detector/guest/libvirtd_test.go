//go:build libvirt

package guest

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// daemon is a real libvirtd with a filesystem of its own, whose guests run under QEMU's
// emulation. It takes root.
type daemon struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
	out bytes.Buffer
	rw  *libvirt.Libvirt
}

// script hides the machine's own libvirt, and runs one that needs nothing of it.
const script = `set -e
mount --make-rprivate /
for d in /run/libvirt /var/lib/libvirt /etc/libvirt /var/cache/libvirt /var/log/libvirt; do
  mkdir -p $d; mount -t tmpfs tmpfs $d
done
mount --bind "$2" /var/cache/libvirt
printf 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nstdio_handler = "file"\ncgroup_controllers = []\nnamespaces = []\nremember_owner = 0\n' >/etc/libvirt/qemu.conf
printf 'unix_sock_dir = "%s"\nauth_unix_ro = "none"\nauth_unix_rw = "none"\nlog_level = 3\n' "$1" >/etc/libvirt/libvirtd.conf
exec libvirtd -f /etc/libvirt/libvirtd.conf -p "$1/pid"
`

// cache is what a libvirtd finds out of QEMU at its first start, for some seconds.
var cache string

func TestMain(m *testing.M) {
	var err error
	if cache, err = os.MkdirTemp("", "lvc"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(cache)
	os.Exit(code)
}

func newDaemon(t *testing.T) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "lv") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, dir: dir}
	t.Cleanup(func() {
		d.stop()
		_ = os.RemoveAll(dir)
	})
	d.start()
	return d
}

func (d *daemon) socket(name string) string { return filepath.Join(d.dir, name) }

func (d *daemon) start() {
	d.t.Helper()
	d.cmd = exec.Command("sh", "-c", script, "sh", d.dir, cache)
	d.cmd.Stdout, d.cmd.Stderr = &d.out, &d.out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	until(d.t, "libvirtd listens", func() bool {
		conn, err := New(Options{Sockets: []string{d.socket("libvirt-sock")}}).dial(d.t.Context())
		if err != nil {
			return false
		}
		d.rw = libvirt.NewWithDialer(dialled{conn})
		return d.rw.ConnectToURI("qemu:///system") == nil
	})
}

func (d *daemon) stop() {
	if d.cmd == nil {
		return
	}
	doms, _, _ := d.rw.ConnectListAllDomains(1, libvirt.ConnectListDomainsActive)
	for _, x := range doms {
		_ = d.rw.DomainDestroy(x)
	}
	d.kill()
	if d.t.Failed() {
		d.t.Log(d.out.String())
	}
}

func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
	d.cmd = nil
}

// uuid is that of the n-th guest.
func uuid(n int) nova.ServerID {
	return nova.ServerID(fmt.Sprintf("11111111-2222-3333-4444-%012d", n))
}

// boot starts a guest without a disk: its firmware is all that runs.
func (d *daemon) boot(n int, devices string) libvirt.Domain {
	d.t.Helper()
	x, err := d.rw.DomainCreateXML(fmt.Sprintf(`<domain type='qemu'><name>instance-%d</name><uuid>%s</uuid><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os><on_crash>destroy</on_crash><devices>%s<video><model type='none'/></video></devices></domain>`, n, uuid(n), devices), 0)
	if err != nil {
		d.t.Fatalf("start guest %d: %v", n, err)
	}
	return x
}

// process is QEMU's, by the pid file in the daemon's own filesystem.
func (d *daemon) process(n int) *os.Process {
	d.t.Helper()
	all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/root/run/libvirt/qemu/instance-%d.pid", d.cmd.Process.Pid, n))
	if len(all) != 1 {
		d.t.Fatalf("no pid file of guest %d", n)
	}
	b, err := os.ReadFile(all[0])
	if err != nil {
		d.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		d.t.Fatal(err)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		d.t.Fatal(err)
	}
	return p
}

// until waits for what must come about, whatever the machine's speed.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 600 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("not within 30 s: %s", what)
}

// heardOf keeps the events.
type heardOf struct {
	mu  sync.Mutex
	all []Event
}

func (h *heardOf) add(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, e)
}

func (h *heardOf) kinds(id nova.ServerID) (kinds []detector.GuestEnd) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.all {
		if e.Server == id {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

// TestLibvirtd: what a real libvirtd runs is listed, through the read-only socket; a
// guest whose process dies is heard of, one that is ended by a user is not; a daemon
// that dies leaves no list behind, and the one that comes after it is asked.
func TestLibvirtd(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	var heard heardOf
	w := watchOf(Options{Sockets: []string{"/nowhere", d.socket("libvirt-sock-ro")}, Heard: heard.add})
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { w.Run(ctx) })
	defer func() { cancel(); run.Wait() }()

	lists := func(running, paused int) func() bool {
		return func() bool {
			g, known := w.List()
			return known && len(g.Running) == running && len(g.Paused) == paused
		}
	}
	until(t, "an empty list", lists(0, 0))
	d.boot(1, "")
	two := d.boot(2, "")
	three := d.boot(3, "<panic model='isa'/>")
	until(t, "three run", lists(3, 0))
	if g, _ := w.List(); !slices.Equal(g.Running, []nova.ServerID{uuid(1), uuid(2), uuid(3)}) {
		t.Errorf("listed %v", g.Running)
	}
	if err := d.rw.DomainSuspend(three); err != nil {
		t.Fatal(err)
	}
	until(t, "one is paused", lists(2, 1))
	if err := d.rw.DomainResume(three); err != nil {
		t.Fatal(err)
	}
	until(t, "all run again", lists(3, 0))

	if err := d.process(1).Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "the first is heard to have failed", func() bool { return slices.Equal(heard.kinds(uuid(1)), []detector.GuestEnd{detector.GuestFailed}) })
	until(t, "two run", lists(2, 0))
	if err := d.rw.DomainDestroy(two); err != nil {
		t.Fatal(err)
	}
	until(t, "one runs", lists(1, 0))
	if k := heard.kinds(uuid(2)); len(k) > 0 {
		t.Errorf("ended by a user, and told as %v", k)
	}
	// What a guest's crashing kernel writes to its panic device.
	if _, err := d.rw.QEMUDomainMonitorCommand(three, `{"execute":"human-monitor-command","arguments":{"command-line":"o /1 0x505 1"}}`, 0); err != nil {
		t.Fatal(err)
	}
	until(t, "the panic is heard", func() bool { return slices.Contains(heard.kinds(uuid(3)), detector.GuestCrashed) })
	until(t, "none runs", lists(0, 0))

	d.kill()
	until(t, "nothing is known", func() bool {
		_, known := w.List()
		return !known && strings.HasPrefix(w.Word(), detector.GuestsUnknown)
	})
	d.start()
	until(t, "the next daemon is asked", lists(0, 0))
}

// TestLibvirtdAgent: a real libvirt describes a guest agent's channel as it is read, through
// the read-only socket. Firmware alone opens none, so the open one is the same description
// with the word that libvirt has for it.
func TestLibvirtdAgent(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.boot(5, "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>")
	d.boot(6, "")
	w := watchOf(Options{Sockets: []string{d.socket("libvirt-sock-ro")}})
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { w.Run(ctx) })
	defer func() { cancel(); run.Wait() }()
	until(t, "two run, no agent is there", func() bool {
		g, known := w.List()
		return known && len(g.Running) == 2 && len(g.Agents) == 0
	})
	desc, err := d.rw.DomainGetXMLDesc(libvirt.Domain{Name: "instance-5", UUID: uuidOf(5), ID: -1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if agentOpen(desc) || !strings.Contains(desc, agentChannel) || !strings.Contains(desc, "state='disconnected'") {
		t.Errorf("its channel is open before the guest runs anything: %s", desc)
	}
	if !agentOpen(strings.Replace(desc, "state='disconnected'", "state='connected'", 1)) {
		t.Error("a channel that is open is not seen")
	}
}

// uuidOf is libvirt's form of the n-th guest's.
func uuidOf(n int) (u libvirt.UUID) {
	b, _ := hex.DecodeString(strings.ReplaceAll(string(uuid(n)), "-", ""))
	copy(u[:], b)
	return u
}

// TestLibvirtdAutostart: of the domains that libvirt starts by itself those of Nova are told.
func TestLibvirtdAutostart(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	define := func(n int, metadata string) {
		x, err := d.rw.DomainDefineXML(fmt.Sprintf(`<domain type='qemu'><name>instance-%d</name><uuid>%s</uuid><metadata>%s</metadata><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>`, n, uuid(n), metadata))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.rw.DomainSetAutostart(x, 1); err != nil {
			t.Fatal(err)
		}
	}
	define(7, "<nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'><nova:name>web</nova:name></nova:instance>")
	define(8, "") // an operator's own
	w := watchOf(Options{Sockets: []string{d.socket("libvirt-sock-ro")}})
	if _, known := w.Autostart(); known {
		t.Error("known before it was asked")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { w.Run(ctx) })
	defer func() { cancel(); run.Wait() }()
	until(t, "Nova's is told", func() bool {
		names, known := w.Autostart()
		return known && slices.Equal(names, []string{"instance-7"})
	})
	d.kill()
	until(t, "nothing is known", func() bool { _, known := w.Autostart(); return !known })
	d.start()
}

// TestLibvirtdStuck: a libvirtd that is stopped answers nothing: there is no list until
// it goes on.
func TestLibvirtdStuck(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.boot(4, "")
	w := watchOf(Options{Sockets: []string{d.socket("libvirt-sock-ro")}})
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { w.Run(ctx) })
	defer func() { cancel(); run.Wait() }()
	known := func() bool { _, ok := w.List(); return ok }
	until(t, "it is listed", known)
	if err := d.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "nothing is known", func() bool { return !known() })
	if !strings.Contains(w.Word(), "no answer within") {
		t.Errorf("said %q", w.Word())
	}
	if err := d.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, "it is listed again", known)
}
