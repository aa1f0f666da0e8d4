//go:build vip

package vip

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

const theVIP6 = "fd00:9::100"

func binaries() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("lifeboat-vip-%d", os.Getpid()))
}

func link(name string) int {
	l, err := net.InterfaceByName(name)
	if err != nil {
		panic(err)
	}
	return l.Index
}

// ownRig is three controllers that own an address of each family, and a census.
type ownRig struct {
	*site
	procs   map[string]*proc
	proxies map[string]*exec.Cmd

	mu    sync.Mutex
	seen  []sighting // changes of who answers for theVIP
	now   map[string]string
	at    map[string]time.Time
	twins []string
	asked int
	late  int
	// longest is the longest time between two answers for theVIP.
	longest time.Duration
	closed  atomic.Bool
}

// sighting is who answers since when; "" nobody.
type sighting struct {
	who string
	at  time.Time
}

type proc struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	pid int
	end chan struct{} // closed when it has ended
}

// buildOnce builds the programs for all tests, into a folder that TestMain removes.
var buildOnce = sync.OnceValues(func() (string, error) {
	dir := binaries()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", dir+"/", "../../cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

func newOwnRig(t *testing.T, proxied bool, before ...func(*ownRig)) *ownRig {
	t.Helper()
	t.Parallel()
	bin, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, prefix: fmt.Sprintf("vt%d-%d", os.Getpid(), rigs.Add(1)), dir: t.TempDir(), nodes: map[string]*node{}, stop: make(chan struct{})}
	w := &ownRig{site: &site{rig: r, bin: bin}, procs: map[string]*proc{}, proxies: map[string]*exec.Cmd{}, now: map[string]string{}, at: map[string]time.Time{}}
	t.Cleanup(func() { w.closed.Store(true); r.close(); w.keep() })
	r.sh("ip netns add %s-sw", r.prefix)
	r.sh("ip -n %s-sw link add br0 type bridge forward_delay 0 stp_state 0", r.prefix)
	r.sh("ip -n %s-sw link set br0 up", r.prefix)
	for i, name := range []string{"c1", "c2", "c3", "n1"} {
		r.machine(name, 11+i)
	}
	w.files(proxied)
	w.census()
	for _, f := range before {
		f(w)
	}
	for _, name := range []string{"c1", "c2", "c3"} {
		if proxied {
			w.haproxy(name)
		}
		w.start(name)
	}
	return w
}

// isAt waits until a controller answers for an address.
func (w *ownRig) isAt(addr, name string, within time.Duration) {
	w.t.Helper()
	for began := time.Now(); w.holder(addr) != name; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > within {
			w.t.Fatalf("%s is at %q and not at %s within %s\n%s", addr, w.holder(addr), name, within, w.logs())
		}
	}
}

// keep copies the logs of a run to where they are asked for.
func (w *ownRig) keep() {
	if to := os.Getenv("LIFEBOAT_VIP_KEEP"); to != "" {
		_ = exec.Command("sh", "-c", fmt.Sprintf("mkdir -p %[2]s/%[3]s && cp %[1]s/*.log %[2]s/%[3]s/", w.dir, to, w.t.Name())).Run()
	}
}

func (w *ownRig) haproxy(name string) {
	cfg := filepath.Join(w.dir, name+".cfg")
	w.sh("ip netns exec %s sysctl -qw net.ipv4.ip_nonlocal_bind=1", w.nodes[name].ns)
	w.write(cfg, strings.Replace(fmt.Sprintf(haproxyCfg, filepath.Join(w.dir, name+".sock")), "  server b2 127.0.0.1:6002 check inter 500 fall 2\n", "", 1))
	w.proxies[name] = w.daemon(w.nodes[name], "haproxy", "-db", "-f", cfg)
}

// files writes the controllers' files.
func (w *ownRig) files(proxied bool) {
	w.controllers(func(name string) string {
		text := `vip:
  addresses:
    - {name: internal, address: 10.9.0.100, interface: eth0, own: true, guard: nft}
    - {name: six, address: "fd00:9::100", interface: eth0, own: true, guard: nft}
`
		if proxied {
			text += w.socket(name)
		}
		return text
	})
}

// start runs a controller; what an earlier one left on its kernel stays.
func (w *ownRig) start(name string) {
	w.t.Helper()
	if old := w.procs[name]; old != nil {
		<-old.end // whoever ends it is bounded
	}
	cmd := exec.Command("ip", "netns", "exec", w.nodes[name].ns, os.Args[0])
	cmd.Env = append(os.Environ(), controllerEnv+"="+filepath.Join(w.dir, name+".yaml"))
	log, err := os.OpenFile(filepath.Join(w.dir, name+"-lifeboat-controller.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start() // `ip netns exec` becomes it
	}
	if err != nil {
		w.t.Fatal(err)
	}
	p := &proc{cmd: cmd, in: in, pid: cmd.Process.Pid, end: make(chan struct{})}
	w.procs[name] = p
	go func() { _ = cmd.Wait(); _ = log.Close(); close(p.end) }()
}

func (w *ownRig) tell(name, what string) {
	if _, err := io.WriteString(w.procs[name].in, what+"\n"); err != nil {
		w.t.Logf("%s: %v", name, err)
	}
}

func (w *ownRig) kill(name string, s syscall.Signal) {
	if err := syscall.Kill(w.procs[name].pid, s); err != nil {
		w.t.Logf("signal %s to %s: %v", s, name, err)
	}
}

// census begins to watch from n1.
func (w *ownRig) census() {
	cmd := exec.Command("ip", "netns", "exec", w.nodes["n1"].ns, os.Args[0])
	cmd.Env = append(os.Environ(), censusEnv+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	go func() {
		in := bufio.NewScanner(out)
		for in.Scan() {
			var a answers
			if json.Unmarshal(in.Bytes(), &a) == nil {
				w.note(a)
			}
		}
	}()
}

// names of controllers by their MACs, as machine makes them.
var macNames = map[string]string{"02:00:00:00:00:0b": "c1", "02:00:00:00:00:0c": "c2", "02:00:00:00:00:0d": "c3"}

func (w *ownRig) note(a answers) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	if a.Late {
		w.late++
	}
	for _, addr := range []string{theVIP, theVIP6} {
		slices.Sort(a.Who[addr])
		all := slices.Compact(a.Who[addr])
		if len(all) > 1 {
			w.twins = append(w.twins, fmt.Sprintf("%s: %s is at %v", a.At.Format("15:04:05.000"), addr, all))
		}
		who := ""
		if len(all) > 0 {
			who = macNames[all[0]]
		}
		if who != "" {
			if before := w.at[addr]; addr == theVIP && !before.IsZero() {
				w.longest = max(w.longest, a.At.Sub(before))
			}
			w.at[addr] = a.At
		}
		if addr == theVIP && (who != "" && who != w.now[addr]) {
			w.seen = append(w.seen, sighting{who, a.At})
		}
		if who != "" {
			w.now[addr] = who
		}
	}
}

// holder is who answered within the last tenth of a second, "" nobody.
func (w *ownRig) holder(addr string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.at[addr]) > 100*time.Millisecond {
		return ""
	}
	return w.now[addr]
}

// settled waits until one machine answers for both addresses' names, but none of those.
func (w *ownRig) settled(within time.Duration, not ...string) string {
	w.t.Helper()
	for began := time.Now(); time.Since(began) < within; time.Sleep(5 * time.Millisecond) {
		a, b := w.holder(theVIP), w.holder(theVIP6)
		if a != "" && b != "" && !slices.Contains(not, a) && !slices.Contains(not, b) {
			return a
		}
	}
	w.t.Fatalf("nobody but %v has the addresses within %s (%q, %q)\n%s", not, within, w.holder(theVIP), w.holder(theVIP6), w.logs())
	return ""
}

// taken waits until somebody else than from answers, and gives who and when.
func (w *ownRig) taken(began time.Time, from string, within time.Duration) (who string, after time.Duration) {
	w.t.Helper()
	for time.Since(began) < within {
		w.mu.Lock()
		for _, s := range w.seen {
			if s.at.After(began) && s.who != from {
				who, after = s.who, s.at.Sub(began)
				w.mu.Unlock()
				return who, after
			}
		}
		w.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatalf("nobody has taken it from %s within %s\n%s", from, within, w.logs())
	return "", 0
}

// never says that no question was answered by two.
func (w *ownRig) never() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t.Logf("the census asked %d times, %d times late, and saw two MACs %d times", w.asked, w.late, len(w.twins))
	for _, line := range w.twins {
		w.t.Errorf("two machines have it: %s", line)
	}
	if w.asked == 0 {
		w.t.Error("the census did not ask")
	}
}

// shell runs the shell on one controller.
func (w *ownRig) shell(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	all := append([]string{"netns", "exec", w.nodes[name].ns, filepath.Join(w.bin, "lifeboat"), "--token-file", filepath.Join(w.dir, "shell.token")}, args...)
	out, err := exec.CommandContext(ctx, "ip", all...).CombinedOutput()
	return string(out), err
}

func (w *ownRig) lease(from string) (evacuate.VIPLease, api.VIPStatus) {
	out, err := w.shell(from, "vip", "status", "-o", "json")
	var st api.VIPStatus
	if err == nil && json.Unmarshal([]byte(out), &st) == nil {
		for _, v := range st.VIPs {
			if v.Name == "internal" && v.Lease != nil {
				return *v.Lease, st
			}
		}
	}
	return evacuate.VIPLease{}, st
}

// leader asks the controllers who leads.
func (w *ownRig) leader(from string) string {
	out, err := w.shell(from, "status", "-o", "json")
	var st struct {
		Leader string `json:"leader"`
	}
	if err != nil || json.Unmarshal([]byte(out), &st) != nil {
		return ""
	}
	return st.Leader
}
