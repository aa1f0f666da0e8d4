//go:build vip

package vip

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
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

	"github.com/lifeboat-ha/lifeboat/detector"
	pure "github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const theVIP = "10.9.0.100"

// plan is what a rig has; c3 is a controller without keepalived in each.
type plan struct {
	computes int
	garp     bool // keepalived with the options against a silent heal
	script   bool // and with a script that asks for a file
	six      bool // an IPv6 address beside, set by hand
	bare     bool // nobody watches here but what the test starts
}

// rig is one network of its own: a switch, three controllers, some computes.
type rig struct {
	t      *testing.T
	prefix string
	dir    string
	plan   plan
	nodes  map[string]*node

	mu       sync.Mutex
	tracker  *pure.Tracker
	sights   map[string]stamped
	rows     map[string]stampedRow
	muted    map[string]bool
	first    map[string]time.Time // of each finding, by kind, since the mark
	evidence map[string]string
	holder   detector.MAC
	since    time.Time
	mend     bool
	mender   *pure.Mender
	mends    bool     // controllers mend, too
	mended   []string // what they were ordered
	owner    string
	now      []pure.Finding
	cut      map[nova.HostName]time.Time
	control  detector.Control
	stop     chan struct{}
	ended    sync.WaitGroup
}

type stamped struct {
	pure.Sight
	at time.Time
}

type stampedRow struct {
	detector.PathRow
	at time.Time
}

type node struct {
	name, ns  string
	cmd       *exec.Cmd
	in        io.WriteCloser
	keepalive *exec.Cmd
	said      chan line
	flips     atomic.Int64
	mac       atomic.Value
}

var rigs atomic.Int64

// newRig builds one and waits until the address is at c1 and everything is well.
func newRig(t *testing.T, p plan) *rig {
	t.Helper()
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("needs root: it makes network namespaces")
	}
	for _, tool := range []string{"keepalived", "haproxy", "nft", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing: `make vip-packages` says which packages are needed", tool)
		}
	}
	r := &rig{t: t, prefix: fmt.Sprintf("vt%d-%d", os.Getpid(), rigs.Add(1)), dir: t.TempDir(), plan: p, nodes: map[string]*node{}, tracker: pure.NewTracker(), mender: pure.NewMender(),
		sights: map[string]stamped{}, rows: map[string]stampedRow{}, muted: map[string]bool{}, first: map[string]time.Time{}, evidence: map[string]string{},
		cut: map[nova.HostName]time.Time{}, stop: make(chan struct{})}
	t.Cleanup(r.close)
	r.sh("ip netns add %s-sw", r.prefix)
	r.sh("ip -n %s-sw link add br0 type bridge forward_delay 0 stp_state 0", r.prefix)
	r.sh("ip -n %s-sw link set br0 up", r.prefix)
	names := []string{"c1", "c2", "c3"}
	for i := range p.computes {
		names = append(names, fmt.Sprintf("n%d", i+1))
	}
	for i, name := range names {
		r.machine(name, 11+i)
	}
	for _, name := range names {
		r.start(name)
	}
	r.ended.Go(r.judge)
	r.until(20*time.Second, "the address is at c1 and all is well", func() bool {
		rows := p.computes
		if p.bare {
			rows = 0
		}
		return r.owner == "c1" && len(r.sights) == 3 && len(r.rows) == rows && r.well()
	})
	return r
}

func (r *rig) well() bool {
	for name := range r.rows {
		if !r.reaches(name) {
			return false
		}
	}
	return !slices.ContainsFunc(r.now, func(f pure.Finding) bool { return f.VIP == "internal" })
}

// reaches says that a compute reaches the service; what only informs may fail.
func (r *rig) reaches(name string) bool {
	words := r.rows[name].Words
	return len(words) > 0 && words[0] == detector.PathOK
}

// sh runs one command; a failure ends the test.
func (r *rig) sh(format string, args ...any) string {
	r.t.Helper()
	line := fmt.Sprintf(format, args...)
	out, err := exec.CommandContext(r.t.Context(), "sh", "-c", line).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

func (r *rig) machine(name string, last int) {
	ns, port := r.prefix+"-"+name, "p"+name
	r.nodes[name] = &node{name: name, ns: ns, said: make(chan line, 100)}
	r.sh("ip netns add %[2]s && ip -n %[1]s-sw link add %[3]s type veth peer name eth0 netns %[2]s && ip -n %[2]s link set eth0 address 02:00:00:00:00:%02[4]x && "+
		"ip -n %[2]s addr add 10.9.0.%[4]d/24 dev eth0 && ip -n %[2]s addr add fd00:9::%[4]d/64 dev eth0 nodad && ip -n %[2]s link set lo up && ip -n %[2]s link set eth0 up && "+
		"ip -n %[1]s-sw link set %[3]s master br0 && ip -n %[1]s-sw link set %[3]s up", r.prefix, ns, port, last)
}

const keepalivedConf = `global_defs {
  enable_script_security
  script_user root
%s}
%svrrp_instance VI_1 {
  state BACKUP
  interface eth0
  virtual_router_id 51
  priority %d
  advert_int 1
  virtual_ipaddress { 10.9.0.100/32 dev eth0 }
%s}
`

const haproxyCfg = `global
  stats socket %s level user
defaults
  mode http
  timeout connect 1s
  timeout client 1h
  timeout server 10s
  timeout http-keep-alive 1h
listen api
  bind 10.9.0.100:5000
  server b1 127.0.0.1:6001 check inter 500 fall 2
  server b2 127.0.0.1:6002 check inter 500 fall 2
`

func (r *rig) start(name string) {
	n := r.nodes[name]
	if r.plan.bare && name[0] == 'n' {
		r.monitor(n)
		return
	}
	o := order{Name: name, Compute: name[0] == 'n', VIPs: []pure.VIP{{Name: "internal", Address: netip.MustParseAddr(theVIP)}}, Census: name[0] == 'c' && !r.plan.bare,
		Targets: []pure.Target{{Service: "api", Address: netip.MustParseAddrPort(theVIP + ":5000"), Touch: pure.TouchHTTP, VIP: "internal"},
			{Service: "ctl3", Address: netip.MustParseAddrPort("10.9.0.13:22"), Touch: pure.TouchTCP, Informs: true}}}
	if r.plan.six {
		o.VIPs = append(o.VIPs, pure.VIP{Name: "six", Address: netip.MustParseAddr("fd00:9::100")})
	}
	if name == "c1" || name == "c2" {
		o.Socket = filepath.Join(r.dir, name+".sock")
		r.sh("ip netns exec %s sysctl -qw net.ipv4.ip_nonlocal_bind=1", n.ns)
	}
	raw, err := json.Marshal(o)
	if err != nil {
		r.t.Fatal(err)
	}
	n.cmd = exec.Command("ip", "netns", "exec", n.ns, os.Args[0])
	n.cmd.Env = append(os.Environ(), nodeEnv+"="+string(raw))
	n.cmd.Stderr = os.Stderr
	out, err := n.cmd.StdoutPipe()
	if err == nil {
		n.in, err = n.cmd.StdinPipe()
	}
	if err == nil {
		err = n.cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.ended.Go(func() { r.read(n, out) })
	if o.Compute {
		r.monitor(n)
	}
	if o.Socket != "" {
		cfg := filepath.Join(r.dir, name+".cfg")
		r.write(cfg, fmt.Sprintf(haproxyCfg, o.Socket))
		r.daemon(n, "haproxy", "-db", "-f", cfg)
		r.keepalived(name)
	}
}

// keepalived starts it on c1 or c2.
func (r *rig) keepalived(name string) {
	n, priority, global, script, track := r.nodes[name], 150, "", "", ""
	if name == "c2" {
		priority = 100
	}
	if r.plan.garp {
		global = "  vrrp_higher_prio_send_advert true\n  vrrp_garp_lower_prio_repeat 3\n"
	}
	if r.plan.script {
		ok := filepath.Join(r.dir, name+".ok")
		r.write(ok, "")
		script = fmt.Sprintf("vrrp_script check {\n  script \"/usr/bin/test -e %s\"\n  interval 1\n  fall 2\n  rise 2\n}\n", ok)
		track = "  track_script { check }\n"
	}
	conf := filepath.Join(r.dir, name+".conf")
	r.write(conf, fmt.Sprintf(keepalivedConf, global, script, priority, track))
	n.keepalive = r.daemon(n, "keepalived", "-n", "-l", "-f", conf, "-p", filepath.Join(r.dir, name+".pid"), "-r", filepath.Join(r.dir, name+"-vrrp.pid"), "-c", filepath.Join(r.dir, name+"-chk.pid"))
}

func (r *rig) write(file, text string) {
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// daemon runs a program in a node's namespace until the rig is closed.
func (r *rig) daemon(n *node, name string, args ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", n.ns, name}, args...)...)
	log, err := os.Create(filepath.Join(r.dir, n.name+"-"+filepath.Base(name)+".log"))
	if err == nil {
		cmd.Stdout, cmd.Stderr = log, log
		err = cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	go func() { _ = cmd.Wait(); _ = log.Close() }()
	return cmd
}

// monitor counts how often a compute's neighbour entry of the VIP changes its MAC.
func (r *rig) monitor(n *node) {
	cmd := exec.Command("ip", "-n", n.ns, "monitor", "neigh")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	r.ended.Go(func() {
		in := bufio.NewScanner(out)
		for in.Scan() {
			words := strings.Fields(in.Text())
			at := slices.Index(words, "lladdr")
			if !slices.Contains(words, theVIP) || at < 0 {
				continue
			}
			if before, _ := n.mac.Load().(string); before != "" && before != words[at+1] {
				n.flips.Add(1)
			}
			n.mac.Store(words[at+1])
		}
	})
}

// read takes what a node tells.
func (r *rig) read(n *node, out io.Reader) {
	in := bufio.NewScanner(out)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var l line
		if json.Unmarshal(in.Bytes(), &l) != nil {
			continue
		}
		now := time.Now()
		r.mu.Lock()
		switch {
		case l.Sight != nil && !r.muted[n.name]:
			r.sights[n.name] = stamped{*l.Sight, now}
		case l.Row != nil:
			r.rows[n.name] = stampedRow{*l.Row, now}
		}
		r.mu.Unlock()
		if l.Done != "" || l.Freed != "" {
			select {
			case n.said <- l:
			default:
			}
		}
	}
}

// judge does what the leader does, four times a second.
func (r *rig) judge() {
	for {
		select {
		case <-r.stop:
			return
		case <-time.After(250 * time.Millisecond):
		}
		r.mu.Lock()
		now := time.Now()
		v := pure.View{Now: now, VIPs: []pure.VIP{{Name: "internal", Address: netip.MustParseAddr(theVIP)}}, Controllers: []detector.Observer{"c1", "c2", "c3"}}
		if r.plan.six {
			v.VIPs = append(v.VIPs, pure.VIP{Name: "six", Address: netip.MustParseAddr("fd00:9::100")})
		}
		for _, s := range r.sights {
			s.Age = now.Sub(s.at)
			v.Sights = append(v.Sights, s.Sight)
		}
		for name, row := range r.rows {
			told := now.Sub(row.at)
			row.Age += told
			v.Hosts = append(v.Hosts, pure.HostRow{Host: nova.HostName(name), Domain: detector.Domain("host:" + name), Row: row.PathRow, Told: told})
		}
		rep := r.tracker.Look(v)
		r.now = rep.Findings
		for _, f := range rep.Findings {
			if _, known := r.first[f.VIP+" "+string(f.Kind)]; !known {
				r.first[f.VIP+" "+string(f.Kind)], r.evidence[f.VIP+" "+string(f.Kind)] = now, f.Text()
			}
		}
		r.owner = rep.Owners["internal"]
		if h := rep.Holders["internal"]; h != r.holder {
			r.holder, r.since = h, now
		}
		r.assess(v, now)
		r.tell(now)
		for _, m := range r.mender.Plan(v, rep) {
			if r.mends && m.VIP == "internal" {
				r.mended = append(r.mended, string(m.Kind)+" "+string(m.Node))
				r.nodes[string(m.Node)].do(command{Do: string(m.Kind)})
			}
		}
		r.mu.Unlock()
	}
}

func (r *rig) assess(v pure.View, now time.Time) {
	if r.plan.computes == 0 {
		return
	}
	targets := []pure.Target{{Service: "api", Address: netip.MustParseAddrPort(theVIP + ":5000"), Touch: pure.TouchHTTP, VIP: "internal"},
		{Service: "ctl3", Address: netip.MustParseAddrPort("10.9.0.13:22"), Touch: pure.TouchTCP, Informs: true}}
	a := pure.Assess(targets, v.Hosts, 8*time.Second)
	r.control = a.Control
	for host, p := range a.Paths {
		if len(p.Fails) == 0 || 5*p.OthersUp < 4*p.Others {
			delete(r.cut, host)
		} else if r.cut[host].IsZero() {
			r.cut[host] = now
		}
	}
}

// tell gives the computes the leader's word, as acknowledgements do.
func (r *rig) tell(now time.Time) {
	for name, n := range r.nodes {
		if name[0] == 'n' && n.in != nil {
			n.do(command{Do: "holder", Holder: r.holder, For: now.Sub(r.since), Mend: r.mend})
		}
	}
}

func (n *node) do(c command) {
	b, err := json.Marshal(c)
	if err == nil {
		_, _ = n.in.Write(append(b, '\n'))
	}
}

// until waits for a condition that is asked under the rig's lock.
func (r *rig) until(within time.Duration, what string, is func() bool) time.Duration {
	r.t.Helper()
	began := time.Now()
	for time.Since(began) < within {
		r.mu.Lock()
		yes := is()
		r.mu.Unlock()
		if yes {
			return time.Since(began)
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.t.Fatalf("not within %s: %s (owner %q, found %v, control %+v, cut %v)", within, what, r.owner, r.evidence, r.control, r.cut)
	return 0
}

// mark forgets what was found so far.
func (r *rig) mark() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.first)
	clear(r.evidence)
	return time.Now()
}

// named waits for a finding and gives how long after since it was said first.
func (r *rig) named(kind pure.Kind, since time.Time, within time.Duration) {
	r.t.Helper()
	key := "internal " + string(kind)
	r.until(max(time.Until(since.Add(within)), 0)+2*time.Second, string(kind)+" is named", func() bool { return !r.first[key].IsZero() })
	r.mu.Lock()
	took, text := r.first[key].Sub(since), r.evidence[key]
	r.mu.Unlock()
	r.t.Logf("%s named after %s: %s", kind, took.Round(10*time.Millisecond), text)
	if took > within {
		r.t.Errorf("%s is named after %s, it may take %s", kind, took, within)
	}
}

// never says that none of these was found since the mark.
func (r *rig) never(kinds ...pure.Kind) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range kinds {
		if text, found := r.evidence["internal "+string(k)]; found {
			r.t.Errorf("%s was found: %s", k, text)
		}
	}
}

// has asks the kernel whether a node has the VIP.
func (r *rig) has(name string) bool {
	out, err := exec.Command("ip", "-n", r.nodes[name].ns, "-o", "addr", "show", "dev", "eth0").Output()
	return err == nil && strings.Contains(string(out), " "+theVIP+"/32")
}

// both waits until two nodes have the VIP, and gives when that was.
func (r *rig) both(a, b string) time.Time {
	r.t.Helper()
	for range 200 {
		if r.has(a) && r.has(b) {
			return time.Now()
		}
		time.Sleep(30 * time.Millisecond)
	}
	r.t.Fatalf("%s and %s never both had the VIP", a, b)
	return time.Time{}
}

func (r *rig) pid(file string) int {
	b, err := os.ReadFile(filepath.Join(r.dir, file))
	if err != nil {
		r.t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(b), &pid); err != nil {
		r.t.Fatal(err)
	}
	return pid
}

func (r *rig) signal(file string, s syscall.Signal) {
	if err := syscall.Kill(r.pid(file), s); err != nil {
		r.t.Fatal(err)
	}
}

// block adds rules to the switch: what they match is dropped.
func (r *rig) block(table string, rules ...string) {
	text := "table bridge " + table + " {\n chain f {\n type filter hook forward priority 0;\n" + strings.Join(rules, "\n") + "\n}\n}\n"
	cmd := exec.Command("ip", "netns", "exec", r.prefix+"-sw", "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("nft: %v: %s", err, out)
	}
}

func (r *rig) unblock(table string) {
	r.sh("ip netns exec %s-sw nft delete table bridge %s", r.prefix, table)
}

// close ends every process in the rig's namespaces, and these.
func (r *rig) close() {
	close(r.stop)
	for _, n := range r.nodes {
		if n.in != nil {
			_ = n.in.Close()
		}
	}
	names := []string{r.prefix + "-sw"}
	for _, n := range r.nodes {
		names = append(names, n.ns)
	}
	for _, ns := range names {
		out, _ := exec.Command("ip", "netns", "pids", ns).Output()
		for _, word := range strings.Fields(string(out)) {
			var pid int
			if _, err := fmt.Sscan(word, &pid); err == nil {
				_ = syscall.Kill(pid, syscall.SIGCONT)
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	for _, n := range r.nodes {
		if n.cmd != nil && n.cmd.Process != nil {
			_ = n.cmd.Process.Kill()
			_ = n.cmd.Wait()
		}
	}
	for _, ns := range names {
		if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil && !errors.Is(err, os.ErrNotExist) {
			r.t.Logf("%s is left: %v: %s", ns, err, out)
		}
	}
}
