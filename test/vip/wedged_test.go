//go:build vip

package vip

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// A process of this test is Keystone and Nova, whose nova-computes are what touches
// files beside it.
const (
	novaEnv     = "LIFEBOAT_VIP_NOVA" // the folder
	novaAddress = "10.9.0.13:8774"
)

// playNova serves an emulated Nova. A nova-compute reports where its file was touched
// within a second and a half.
func playNova(dir string) {
	cloud := novatest.New(novatest.Options{Now: time.Now, URL: "http://" + novaAddress, ServiceDownTime: 5 * time.Second, ManualReports: true})
	var hosts []nova.HostName
	for i := range wedgedHosts {
		hosts = append(hosts, nova.HostName(fmt.Sprintf("n%d", i+1)))
		cloud.AddHost(hosts[i])
	}
	go func() {
		for ; ; time.Sleep(300 * time.Millisecond) {
			for _, h := range hosts {
				if at, err := os.Stat(filepath.Join(dir, string(h)+".beat")); err == nil && time.Since(at.ModTime()) < 1500*time.Millisecond {
					cloud.Heartbeat(h)
				}
			}
		}
	}()
	server := &http.Server{Addr: novaAddress, Handler: cloud, ReadHeaderTimeout: time.Second}
	_ = server.ListenAndServe()
	os.Exit(1)
}

const (
	wedgedHosts = 5
	// aCompute is a nova-compute: it touches its file, and knows its process by another.
	aCompute = "#!/bin/bash\necho $$ >$1.compute.pid\nwhile :; do touch $1.beat; sleep 0.3; done\n"
	// aRestart is what an agent is told to run: it takes as long as the real one may.
	aRestart = "#!/bin/bash\ndir=$(dirname $1) name=$(basename $1)\necho begin $name >>$dir/restarts\nkill -KILL $(cat $1.compute.pid)\nsleep 8\n" +
		"setsid $dir/nova-compute $1 </dev/null >/dev/null 2>&1 &\necho end $name >>$dir/restarts\n"
)

// TestRestart (repair R4): two nova-computes hang at one time, on hosts that reach all.
// Each is restarted once, the second when the first has given the token back.
func TestRestart(t *testing.T) {
	r := newRig(t, plan{computes: wedgedHosts, bare: true})
	s := &site{rig: r, hosts: wedgedHosts, section: "  restarts: {wedged: on}\n",
		agent: fmt.Sprintf("vip: {restart: on, agents: [{binary: nova-compute, command: [%[1]s/restart, %[1]s/HOST]}]}\n", r.dir),
		cloud: fmt.Sprintf("clouds:\n  none:\n    region_name: %s\n    auth: {auth_url: \"http://%s/identity/v3\", username: %s, password: %s, project_name: %s, user_domain_name: %s, project_domain_name: %[6]s}\n",
			novatest.Region, novaAddress, novatest.User, novatest.Password, novatest.Project, novatest.Domain)}
	for name, text := range map[string]string{"nova-compute": aCompute, "restart": aRestart} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.daemon(r.nodes["c3"], "env", novaEnv+"="+r.dir, os.Args[0])
	for i := range wedgedHosts {
		name := fmt.Sprintf("n%d", i+1)
		s.daemon(r.nodes[name], filepath.Join(r.dir, "nova-compute"), filepath.Join(r.dir, name))
	}
	s.up()
	s.lifeboat("mode", "approve", "--reason", "the test lets hosts restart what hangs")
	s.await(40*time.Second, "all hosts reach all", func(st api.VIPStatus) bool { return reaching(st) == wedgedHosts })

	began := time.Now()
	for _, name := range []string{"n1", "n2"} {
		r.signal(name+".compute.pid", syscall.SIGSTOP)
	}
	for n := range 4 {
		r.until(75*time.Second, "the next of two restarts begins or ends", func() bool { return len(r.restarts()) == n+1 })
		t.Logf("%s: %s after both hung", r.restarts()[n], time.Since(began).Round(100*time.Millisecond))
	}
	time.Sleep(12 * time.Second) // both are up again by then, and two more looks
	got := r.restarts()
	first, second := strings.TrimPrefix(got[0], "begin "), "n1"
	if first == "n1" {
		second = "n2"
	}
	if want := []string{"begin " + first, "end " + first, "begin " + second, "end " + second}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, want := range []string{"nova-compute hangs there and may be restarted (token 1): it is down, though its host is heard and has reached all for 3", "the restart of nova-compute (token 2): done", "nova-compute is up again"} {
		s.journals(want, 15*time.Second)
	}
}

// restarts are the lines that were written, in order.
func (r *rig) restarts() []string {
	b, _ := os.ReadFile(filepath.Join(r.dir, "restarts"))
	return strings.FieldsFunc(string(b), func(c rune) bool { return c == '\n' })
}
