//go:build vip

package vip

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

// site is the three programs, as they are shipped, in a rig's namespaces.
type site struct {
	*rig
	bin string
	// What stands in the files beside: at the address, in the section vip of the
	// controllers, and in the agents'.
	address, section, agent string
	// cloud is clouds.yaml; "": there is no Nova. hosts is how many there are, 3 if 0.
	cloud  string
	hosts  int
	agents map[string]*exec.Cmd
}

// TestWhole runs controllers and agents as they are shipped beside keepalived and
// HAProxy: what was found by the parts above is told by the API, and agents mend
// their way themselves. There is no Nova, so nobody could be fenced whatever happens.
func TestWhole(t *testing.T) {
	r := newRig(t, plan{computes: 3, bare: true})
	s := &site{rig: r}
	s.up()
	s.await(40*time.Second, "all hosts tell, and c1 has the address", func(st api.VIPStatus) bool {
		fresh := 0
		for _, h := range st.Matrix.Hosts {
			if h.Fresh && len(h.Fails) == 0 {
				fresh++
			}
		}
		return st.Watched && len(st.VIPs) == 1 && st.VIPs[0].Owner == "c1" && fresh == 3 && len(st.Sights) == 3 && len(st.Findings) == 0
	})

	// AS: one host does not reach the owner.
	r.block("one", `iifname "pn1" oifname "pc1" drop`, `iifname "pc1" oifname "pn1" drop`)
	took := s.host("n1", cutOff, pathWithin+time.Second) // a look of the test's own takes some of it
	t.Logf("PathFault of n1 after %s", took.Round(10*time.Millisecond))
	r.unblock("one")
	s.hostNot("n1", cutOff, 15*time.Second)

	// H: all announcements are lost at n1, so that it must mend itself. In the mode observe nothing is touched.
	r.block("lost", `oifname "pn1" ether daddr ff:ff:ff:ff:ff:ff ether type arp drop`)
	r.signal("c1.pid", syscall.SIGTERM)
	s.named("stale-neighbour", 12*time.Second)
	if mac, _ := r.nodes["n1"].mac.Load().(string); mac != "02:00:00:00:00:0b" {
		t.Errorf("n1 sends to %s in the mode observe: it was mended, or never stale", mac)
	}
	s.lifeboat("mode", "approve", "--reason", "the test lets hosts mend their way")
	began := time.Now()
	r.until(5*time.Second, "n1 mends its way", func() bool {
		mac, _ := r.nodes["n1"].mac.Load().(string)
		return mac == "02:00:00:00:00:0c"
	})
	took = time.Since(began)
	t.Logf("n1 mended its way %s after it was permitted", took.Round(10*time.Millisecond))
	if took > staleMended {
		t.Errorf("n1 mended its way after %s, it may take %s", took, staleMended)
	}
	s.await(10*time.Second, "nothing is wrong any more", func(st api.VIPStatus) bool { return len(st.Findings) == 0 && st.VIPs[0].Owner == "c2" })

	// B2: c2 keeps the address after its keepalived is killed.
	r.signal("c2-vrrp.pid", syscall.SIGKILL)
	r.signal("c2.pid", syscall.SIGKILL)
	s.named("orphan", orphanWithin+time.Second)
	time.Sleep(1500 * time.Millisecond) // the ledger is written once a second
	var journal []struct{ Text string }
	s.read("/v1/journal", &journal)
	text := fmt.Sprint(journal)
	for _, want := range []string{"found stale-neighbour of the address internal", "stale-neighbour of the address internal is over", "found orphan", "n1 has mended its way"} {
		if !strings.Contains(text, want) {
			t.Errorf("the journal does not say %q: %s", want, text)
		}
	}
	out := s.lifeboat("vip", "status")
	for _, want := range []string{"FOUND", "orphan of internal", "docs/vip.md#orphan", "VRRP each 1s"} {
		if !strings.Contains(out, want) {
			t.Errorf("vip status does not say %q:\n%s", want, out)
		}
	}
}

// cutOff is the verdict on a host that alone does not reach the address.
const cutOff = "PathFault control-plane-reached-by-others-only"

// lifeboat runs the operator's shell on c3.
func (s *site) lifeboat(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("lifeboat %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func (s *site) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	all := append([]string{"netns", "exec", s.nodes["c3"].ns, filepath.Join(s.bin, "lifeboat"), "--token-file", filepath.Join(s.dir, "shell.token")}, args...)
	out, err := exec.CommandContext(ctx, "ip", all...).CombinedOutput()
	return string(out), err
}

// read asks the API for what the shell has no command for.
func (s *site) read(path string, into any) {
	s.t.Helper()
	token, err := os.ReadFile(filepath.Join(s.dir, "shell.token"))
	if err != nil {
		s.t.Fatal(err)
	}
	// The API listens on the namespace's loopback: bash speaks to it from there.
	script := fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/7948; printf 'GET %s HTTP/1.0\\r\\nAuthorization: Bearer %s\\r\\n\\r\\n' >&3; cat <&3", path, strings.TrimSpace(string(token)))
	out, err := exec.CommandContext(s.t.Context(), "ip", "netns", "exec", s.nodes["c3"].ns, "bash", "-c", script).Output()
	_, body, _ := strings.Cut(string(out), "\r\n\r\n")
	if err == nil {
		err = json.Unmarshal([]byte(body), into)
	}
	if err != nil {
		s.t.Fatalf("%s: %v: %s", path, err, out)
	}
}

func (s *site) await(within time.Duration, what string, is func(api.VIPStatus) bool) time.Duration {
	s.t.Helper()
	began := time.Now()
	var out string
	for time.Since(began) < within {
		var err error
		if out, err = s.try("vip", "status", "-o", "json"); err == nil {
			var st api.VIPStatus
			if err := json.Unmarshal([]byte(out), &st); err != nil {
				s.t.Fatalf("%v: %s", err, out)
			}
			if is(st) {
				return time.Since(began)
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Fatalf("not within %s: %s: %s\n%s", within, what, out, s.logs())
	return 0
}

func (s *site) named(kind string, within time.Duration) {
	s.t.Helper()
	took := s.await(within, kind+" is named", func(st api.VIPStatus) bool {
		for _, f := range st.Findings {
			if string(f.Kind) == kind {
				return true
			}
		}
		return false
	})
	s.t.Logf("%s is told by the API after %s", kind, took.Round(10*time.Millisecond))
}

func (s *site) verdict(host string) string {
	out, err := s.try("hosts", "-o", "json")
	var hosts []api.Host
	if err != nil || json.Unmarshal([]byte(out), &hosts) != nil {
		return out
	}
	i := slices.IndexFunc(hosts, func(h api.Host) bool { return string(h.Host) == host })
	if i < 0 {
		return "unknown host"
	}
	return string(hosts[i].Verdict) + " " + string(hosts[i].Reason)
}

func (s *site) host(host, verdict string, within time.Duration) time.Duration {
	s.t.Helper()
	began := time.Now()
	for time.Since(began) < within {
		if s.verdict(host) == verdict {
			return time.Since(began)
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Fatalf("%s is %s, not %s within %s\n%s", host, s.verdict(host), verdict, within, s.logs())
	return 0
}

func (s *site) hostNot(host, verdict string, within time.Duration) {
	s.t.Helper()
	for began := time.Now(); s.verdict(host) == verdict; time.Sleep(200 * time.Millisecond) {
		if time.Since(began) > within {
			s.t.Fatalf("%s is %s for %s", host, verdict, within)
		}
	}
}

func (s *site) logs() string {
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(s.dir, "*-lifeboat-*.log"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		all.WriteString(f + "\n" + string(b[max(0, len(b)-1500):]) + "\n")
	}
	return all.String()
}

// controllers writes the three controllers' files as docs/install.md tells, with what a
// test adds to each.
func (s *site) controllers(more func(name string) string) {
	s.t.Helper()
	d, lifeboat := s.dir, filepath.Join(s.bin, "lifeboat")
	s.sh("%s ca init %s/pki --cluster test", lifeboat, d)
	for i := range 3 {
		s.sh("%s ca issue %s/pki --id c%d --address 10.9.0.%d", lifeboat, d, i+1, 11+i)
	}
	s.sh("%s ring-key --out %s/ring.key", lifeboat, d)
	token := strings.Repeat("t", 48)
	s.write(filepath.Join(d, "shell.token"), token+"\n")
	s.write(filepath.Join(d, "api.tokens"), "fence "+token+" test\n")
	s.write(filepath.Join(d, "clouds.yaml"), "clouds:\n  none:\n    auth: {auth_url: http://10.9.0.250:5000/v3, username: x, password: x, project_name: x, user_domain_name: x, project_domain_name: x}\n")
	if s.cloud != "" {
		s.write(filepath.Join(d, "clouds.yaml"), s.cloud)
	}
	for i, name := range []string{"c1", "c2", "c3"} {
		s.write(filepath.Join(d, name+".yaml"), fmt.Sprintf(`cluster: test
controller:
  id: %[1]s
  data_dir: %[2]s/%[1]s
  peers: [{id: c1, address: "10.9.0.11:7947"}, {id: c2, address: "10.9.0.12:7947"}, {id: c3, address: "10.9.0.13:7947"}]
tls: {ca: %[2]s/pki/ca.crt, certificate: %[2]s/pki/%[1]s.crt, key: %[2]s/pki/%[1]s.key}
ring: {bind: "10.9.0.%[3]d:7946", key_file: %[2]s/ring.key}
api: {token_file: %[2]s/api.tokens}
nova: {cloud: none, clouds_file: %[2]s/clouds.yaml}
%[4]slog: {level: debug, format: text}
`, name, d, 11+i, more(name)))
	}
}

// socket names a controller's HAProxy in its file.
func (s *site) socket(name string) string {
	return fmt.Sprintf("  haproxy_socket: %s/%s.sock\n", s.dir, name)
}

// up builds the programs, and brings everything up as docs/install.md tells.
func (s *site) up() {
	s.t.Helper()
	var err error
	if s.bin, err = buildOnce(); err != nil {
		s.t.Fatal(err)
	}
	d, lifeboat := s.dir, filepath.Join(s.bin, "lifeboat")
	hosts := ""
	if s.hosts == 0 {
		s.hosts = 3
	}
	for i := range s.hosts {
		hosts += fmt.Sprintf("  - {name: n%d, addresses: {management: 10.9.0.%d}}\n", i+1, 14+i)
	}
	s.controllers(func(name string) string {
		socket := ""
		if name != "c3" {
			socket = s.socket(name)
		}
		return fmt.Sprintf(`vip:
  addresses: [{name: internal, address: 10.9.0.100, interface: eth0%s}]
%s  targets:
    - {service: api, addresses: ["10.9.0.100:5000"], touch: http}
hosts:
%s`, s.address, socket+s.section, hosts)
	})
	for _, name := range []string{"c1", "c2", "c3"} {
		s.daemon(s.nodes[name], filepath.Join(s.bin, "lifeboat-controller"), "--config", filepath.Join(d, name+".yaml"))
	}
	s.await(60*time.Second, "the controllers have a leader, whom all report to", func(st api.VIPStatus) bool {
		out, _ := s.try("controllers")
		return len(st.Sights) == 3 && strings.Count(out, "10.9.0.") == 3 // hosts are told of all of them
	})
	for i := range s.hosts {
		name := fmt.Sprintf("n%d", i+1)
		file := filepath.Join(d, name+".yaml")
		s.write(file, fmt.Sprintf("host: %[1]s\ndata_dir: %[2]s/%[1]s\nring: {bind: \"10.9.0.%[3]d:7946\"}\nheartbeat: {bind: \"10.9.0.%[3]d:0\"}\n"+
			"controllers: [\"10.9.0.11:7947\", \"10.9.0.12:7947\", \"10.9.0.13:7947\"]\nlog: {level: debug, format: text}\n%[4]s", name, d, 14+i, strings.ReplaceAll(s.agent, "HOST", name)))
		s.write(filepath.Join(d, name+".token"), s.lifeboat("token", "create", name))
		s.sh("ip netns exec %s %s enroll --config %s --enrol-token-file %s", s.nodes[name].ns, lifeboat, file, filepath.Join(d, name+".token"))
		s.begin(name)
	}
}

// begin starts a host's agent.
func (s *site) begin(name string) {
	if s.agents == nil {
		s.agents = map[string]*exec.Cmd{}
	}
	s.agents[name] = s.daemon(s.nodes[name], filepath.Join(s.bin, "lifeboat-agent"), "--config", filepath.Join(s.dir, name+".yaml"))
}

// end sends a host's agent a signal, and waits until it has ended.
func (s *site) end(name string, with syscall.Signal) {
	s.t.Helper()
	pid := s.agents[name].Process.Pid // `ip netns exec` has become it
	for began := time.Now(); syscall.Kill(pid, with) == nil; time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			s.t.Fatalf("the agent of %s does not end", name)
		}
		with = 0
	}
}
