//go:build contract

package contract

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/fence/ipmi"
	"github.com/lifeboat-ha/lifeboat/fence/redfish"
)

// The fencing methods against ipmi_sim (Debian: openipmi, ipmitool) and
// sushy-emulator (test/lab/lab install; LAB_TOOLS says where). The machine is a
// process. Without the tools the tests fail: a fence that was never tried is none.

const (
	rightPassword = "r1ght-word"
	wrongPassword = "wr0ng-word"
)

// power is what both BMCs call: ipmi_sim's chassis_control, and the driver of
// test/lab/redfish.py. A dead process may stay as a zombie without a command line.
const power = `#!/bin/sh
# bmc-power HOST get power | HOST set power 0|1
cd "$(dirname "$0")" || exit 1
on() { [ -s pid ] && tr '\0' ' ' <"/proc/$(cat pid)/cmdline" 2>/dev/null | grep -q '^sleep 98765 '; }
[ ! -e dumb ] || [ -n "$BEHIND" ] || exit 1
case "$2 $3 $4" in
"get power "*) if on; then echo power:1; else echo power:0; fi ;;
"set power 1")
  [ ! -e not-honoured ] || [ -n "$BEHIND" ] || exit 0
  on && exit 0
  ( exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec setsid sh -c 'echo $$ >pid.new && mv pid.new pid && exec sleep 98765' ) </dev/null >/dev/null 2>&1 &
  for i in 1 2 3 4 5 6 7 8 9 10; do on && exit 0; sleep 0.05; done
  exit 1 ;;
"set power 0")
  [ ! -e not-honoured ] || [ -n "$BEHIND" ] || exit 0
  if on; then kill -9 "$(cat pid)"; fi
  for i in 1 2 3 4 5 6 7 8 9 10; do on || exit 0; sleep 0.05; done
  exit 1 ;;
*) exit 1 ;;
esac
`

// box is the machine with its BMC.
type box struct {
	dir  string
	bmc  *exec.Cmd
	port int
	// machine is what the BMC says of it.
	machine fence.Identity
}

func newBox(t *testing.T, network string) *box {
	t.Helper()
	b := &box{dir: t.TempDir(), port: freePort(t, network)}
	b.write(t, "bmc-power", power, 0o700)
	t.Cleanup(func() { b.set(t, false) })
	return b
}

func freePort(t *testing.T, network string) int {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).Port
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (b *box) write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	fencetest.Write(t, filepath.Join(b.dir, name), content, mode)
}

// button presses past the BMC.
func (b *box) button(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(b.dir, "bmc-power"), append([]string{"n1"}, args...)...)
	cmd.Env = append(os.Environ(), "BEHIND=1")
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("bmc-power %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

func (b *box) set(t *testing.T, on bool) {
	value := "0"
	if on {
		value = "1"
	}
	b.button(t, "set", "power", value)
}

// on asks the kernel for the process.
func (b *box) on() bool {
	pid, err := os.ReadFile(filepath.Join(b.dir, "pid"))
	if err != nil {
		return false
	}
	line, _ := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "cmdline"))
	return strings.HasPrefix(string(line), "sleep\x0098765")
}

// knob gives a file that bmc-power looks for.
func (b *box) knob(name string) func(*testing.T, bool) {
	return func(t *testing.T, broken bool) {
		if broken {
			b.write(t, name, "", 0o600)
		} else if err := os.Remove(filepath.Join(b.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
}

func (b *box) freeze(t *testing.T, frozen bool) {
	signal := syscall.SIGCONT
	if frozen {
		signal = syscall.SIGSTOP
	}
	if err := b.bmc.Process.Signal(signal); err != nil {
		t.Error(err)
	}
}

// start runs the BMC until the test ends.
func (b *box) start(t *testing.T, name string, args ...string) {
	t.Helper()
	b.bmc = exec.Command(name, args...)
	var log bytes.Buffer
	b.bmc.Stdout, b.bmc.Stderr, b.bmc.Dir = &log, &log, b.dir
	b.bmc.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	b.bmc.WaitDelay = time.Second
	if err := b.bmc.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.kill()
		if t.Failed() {
			t.Logf("%s:\n%.4000s", filepath.Base(name), log.String())
		}
	})
}

func (b *box) kill() {
	_ = b.bmc.Process.Kill()
	_ = b.bmc.Wait() // twice is harmless
}

// answers waits until the BMC is up.
func answers(t *testing.T, m fence.Method) {
	t.Helper()
	var r fence.Reading
	for range 60 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		r = m.Power(ctx)
		cancel()
		if r.Power != fence.Unknown {
			return
		}
		time.Sleep(250 * time.Millisecond)
	}
	t.Fatalf("the BMC does not come up: %+v", r)
}

func (b *box) harness(good, wrong fence.Method) fencetest.Harness {
	return fencetest.Harness{Machine: b.machine, Method: good, Wrong: wrong, Secrets: []string{rightPassword, wrongPassword}, Clock: fencetest.Clock{},
		On: b.on, Set: b.set, Unreachable: b.freeze, NotHonoured: b.knob("not-honoured"), Dumb: b.knob("dumb")}
}

// gone is the part that the contract cannot mend again: the BMC is killed.
func (b *box) gone(t *testing.T, m fence.Method) {
	b.set(t, true)
	b.kill()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if r := m.Power(ctx); r.Power != fence.Unknown || r.Cause != fence.CauseUnreachable {
		t.Errorf("reading of a BMC that is gone: %+v", r)
	}
	chain := fence.Chain{Clock: fencetest.Clock{}, Links: []fence.Link{{Method: m, Budget: 4 * time.Second}}}
	_, attempts, err := chain.Off(t.Context(), "host", "boot", allowed)
	if !errors.Is(err, fence.ErrNoProof) || attempts[0].Cause != fence.CauseUnreachable || !b.on() {
		t.Errorf("chain with a BMC that is gone: %v, %+v, machine on %v", err, attempts, b.on())
	}
}

func allowed(context.Context) error { return nil }

func need(t *testing.T, program, from string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%v (%s)", err, from)
	}
	return path
}

// ipmiBox starts a machine behind ipmi_sim.
func ipmiBox(t *testing.T) *box {
	t.Helper()
	sim := need(t, "ipmi_sim", "Debian: openipmi")
	need(t, "ipmitool", "Debian: ipmitool")
	b := newBox(t, "udp")
	b.write(t, "emu", "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n", 0o600)
	b.write(t, "lan.conf", fmt.Sprintf(`name "n1"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 %d
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "%s/bmc-power n1"
  user 1 true ""      "x"  user  10 none md2 md5 straight
  user 2 true "admin" "%s" admin 10 none md2 md5 straight
  user 3 true "oper"  "%s" operator 10 none md2 md5 straight
`, b.port, b.dir, rightPassword, rightPassword), 0o600)
	b.start(t, sim, "-c", "lan.conf", "-f", "emu", "-s", b.dir, "-n")
	return b
}

func TestFenceIPMI(t *testing.T) {
	t.Parallel()
	b := ipmiBox(t)
	method := func(user, password, privilege string) fence.Method {
		m, err := ipmi.New(ipmi.Options{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)), Username: user,
			Password: password, Cipher: "3", Privilege: privilege, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	good := method("admin", rightPassword, "admin")
	answers(t, good)
	b.machine = fence.Identity{UUID: "a1234567-89ab-cdef-a123-456789abcdef", Guess: true}
	fencetest.Contract(t, b.harness(good, method("admin", wrongPassword, "admin")))
	t.Run("operator", func(t *testing.T) {
		b.set(t, true)
		chain := fence.Chain{Clock: fencetest.Clock{}, Links: []fence.Link{{Method: method("oper", rightPassword, "operator")}}}
		if _, attempts, err := chain.Off(t.Context(), "host", "boot", allowed); err != nil || b.on() {
			t.Errorf("%v, %+v, machine on %v", err, attempts, b.on())
		}
		if r := method("nobody", rightPassword, "operator").Power(t.Context()); r.Cause != fence.CauseAuth {
			t.Errorf("unknown user: %+v", r)
		}
	})
	t.Run("gone", func(t *testing.T) { b.gone(t, good) })
}

const systemUUID = "5f2f0f6e-0c0d-4c5b-9a4e-2f6d7f2f0001"

// redfishBox starts a machine behind sushy-emulator.
func redfishBox(t *testing.T) (b *box, cert []byte, pin string) {
	t.Helper()
	tools := cmp.Or(os.Getenv("LAB_TOOLS"), "/opt/lifeboat-lab")
	python := need(t, filepath.Join(tools, "bin", "python"), "test/lab/lab install")
	b = newBox(t, "tcp")
	// The driver looks for bmc-power where it stands itself: ours, not the lab's.
	driver, err := filepath.Abs("../lab/redfish.py")
	if err == nil {
		err = os.Symlink(driver, filepath.Join(b.dir, "redfish.py"))
	}
	if err != nil {
		t.Fatal(err)
	}
	hash := exec.Command(python, "-c", `import bcrypt, os; print("admin:" + bcrypt.hashpw(os.environ["PASSWORD"].encode(), bcrypt.gensalt(4)).decode())`)
	hash.Env = append(os.Environ(), "PASSWORD="+rightPassword)
	auth, err := hash.Output()
	if err != nil {
		t.Fatalf("bcrypt of the emulator's environment: %v", err)
	}
	b.write(t, "auth", string(auth), 0o600)
	cert, pin = certificate(t, b)
	b.start(t, python, filepath.Join(b.dir, "redfish.py"), "n1", "127.0.0.1", strconv.Itoa(b.port), systemUUID, "auth", "bmc.crt", "bmc.key", b.dir)
	return b, cert, pin
}

func TestFenceRedfish(t *testing.T) {
	t.Parallel()
	b, cert, pin := redfishBox(t)
	const uuid = systemUUID
	method := func(o redfish.Options) *redfish.Method {
		o.Address, o.Username, o.Now = "https://127.0.0.1:"+strconv.Itoa(b.port), "admin", time.Now
		o.Password = cmp.Or(o.Password, rightPassword)
		m, err := redfish.New(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		return m
	}
	good := method(redfish.Options{CA: cert})
	answers(t, good)
	b.machine = fence.Identity{UUID: uuid}
	fencetest.Contract(t, b.harness(good, method(redfish.Options{Password: wrongPassword, Fingerprint: pin})))
	if id, err := method(redfish.Options{Fingerprint: pin, System: "/redfish/v1/Systems/" + uuid}).Identity(t.Context()); id.UUID != uuid || err != nil {
		t.Errorf("identity %+v, %v", id, err)
	}
	other := "sha256:" + strings.Repeat("00", sha256.Size)
	for name, o := range map[string]redfish.Options{"unknown CA": {}, "another pin": {Fingerprint: other}} {
		b.set(t, true)
		m := method(o)
		if r := m.Power(t.Context()); r.Power != fence.Unknown || r.Cause != fence.CauseIdentity {
			t.Errorf("%s: %+v", name, r)
		}
		if err := m.Off(t.Context()); err == nil || !b.on() {
			t.Errorf("%s: off went through", name)
		}
	}
	t.Run("gone", func(t *testing.T) { b.gone(t, good) })
}

// certificate writes bmc.crt and bmc.key, and gives the first and its digest.
func certificate(t *testing.T, b *box) (cert []byte, pin string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	if _, err := tls.X509KeyPair(cert, secret); err != nil {
		t.Fatal(err)
	}
	b.write(t, "bmc.crt", string(cert), 0o600)
	b.write(t, "bmc.key", string(secret), 0o600)
	return cert, fmt.Sprintf("sha256:%x", sha256.Sum256(der))
}
