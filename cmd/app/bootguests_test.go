package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const gatedUnit = "ExecStartPre={ path=/usr/bin/lifeboat-agent ; argv[]=/usr/bin/lifeboat-agent gate --config /etc/lifeboat/agent.yaml ; ignore_errors=no ; pid=0 }\n"

func unitSays(name, load, state, pre string) string {
	return "Id=" + name + "\n" + pre + "LoadState=" + load + "\nUnitFileState=" + state + "\n\n"
}

// TestBootGuests: whatever starts guests, or nova-compute, before the leader has said that
// nothing of the host's is on its way is found, and what can't be read is said.
func TestBootGuests(t *testing.T) {
	none := unitSays("openstack-nova-compute.service", "not-found", "", "") + unitSays("kolla-nova_compute-container.service", "not-found", "", "")
	compute := unitSays("nova-compute.service", "loaded", "enabled", gatedUnit) + none
	quiet := unitSays("libvirt-guests.service", "loaded", "disabled", "")
	wakes := unitSays("libvirt-guests.service", "loaded", "enabled", "")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	starts := file("starts", "# ON_BOOT=ignore\nON_BOOT=\"start\"\n")
	ignores := file("ignores", "ON_BOOT=start\nON_BOOT=ignore\n")
	resumes := file("resumes", "[DEFAULT]\nresume_guests_state_on_host_boot = True\n[libvirt]\nresume_guests_state_on_host_boot=false\n")
	stays := file("stays", "[libvirt]\nresume_guests_state_on_host_boot = true\n")
	for name, c := range map[string]struct {
		show      string
		err       error
		onBoot    string
		nova      string
		autostart []string
		deaf      bool
		change    func(*bootFacts)
		want      string // its beginning
		has       string
	}{
		"all is well":                       {show: compute + quiet, onBoot: starts, nova: stays, want: "safe"},
		"no gate":                           {show: unitSays("nova-compute.service", "loaded", "enabled", "") + none + quiet, want: "unsafe", has: "no start gate before nova-compute.service"},
		"no gate at kolla's":                {show: unitSays("nova-compute.service", "not-found", "", "") + unitSays("kolla-nova_compute-container.service", "loaded", "enabled", ""), want: "unsafe", has: "kolla-nova_compute"},
		"kolla's unit is gated":             {show: unitSays("kolla-nova_compute-container.service", "loaded", "enabled", gatedUnit), want: "safe"},
		"the enabled one counts":            {show: unitSays("nova-compute.service", "loaded", "disabled", gatedUnit) + unitSays("openstack-nova-compute.service", "loaded", "enabled", ""), want: "unsafe", has: "openstack"},
		"a container asks the socket":       {show: none, change: func(f *bootFacts) { f.asked = true }, want: "safe"},
		"nobody starts nova-compute":        {show: none + quiet, want: "unknown", has: "no unit of nova-compute"},
		"an instance autostarts":            {show: compute, autostart: []string{"instance-00000001", "instance-00000002"}, want: "unsafe", has: "2 instances autostart in libvirt (instance-00000001)"},
		"libvirt-guests":                    {show: compute + wakes, onBoot: starts, want: "unsafe", has: "libvirt-guests"},
		"libvirt-guests waits":              {show: compute + unitSays("libvirt-guests.service", "loaded", "enabled", gatedUnit), onBoot: starts, want: "safe"},
		"libvirt-guests starts none":        {show: compute + wakes, onBoot: ignores, want: "safe"},
		"libvirt-guests says nothing":       {show: compute + wakes, want: "unsafe", has: "libvirt-guests"},
		"it resumes behind the gate":        {show: compute, nova: resumes, want: "safe"},
		"it resumes without a gate":         {show: unitSays("nova-compute.service", "loaded", "enabled", ""), nova: resumes, want: "unsafe", has: "resume_guests_state_on_host_boot"},
		"it resumes, and a watchdog counts": {show: compute, nova: resumes, change: func(f *bootFacts) { f.watchdog = true }, want: "unsafe", has: "resume_guests_state_on_host_boot"},
		"systemd is silent":                 {err: errors.New("no bus"), want: "unknown", has: "systemd"},
		"systemd is silent, and worse":      {err: errors.New("no bus"), autostart: []string{"a"}, want: "unsafe", has: "autostart"},
		"libvirt is silent":                 {show: compute, deaf: true, want: "unknown", has: "libvirt does not answer"},
		"nova.conf can't be read":           {show: compute, nova: dir, want: "unknown"},
		"no nova.conf there":                {show: compute, nova: filepath.Join(dir, "none"), want: "safe"},
	} {
		b := bootReader{show: func(context.Context, ...string) (string, error) { return c.show, c.err }, autostart: func() ([]string, bool) { return c.autostart, !c.deaf }}
		for path, list := range map[string]*[]string{c.onBoot: &b.onBoot, c.nova: &b.novaConf} {
			if path != "" {
				*list = []string{path}
			}
		}
		f := b.read(t.Context())
		if c.change != nil {
			c.change(&f)
		}
		if w := f.word(); !strings.HasPrefix(w, c.want) || !strings.Contains(w, c.has) || len(w) > mostBootWord {
			t.Errorf("%s: %q, want %s … %s", name, w, c.want, c.has)
		}
	}
}
