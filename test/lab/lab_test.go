//go:build lab

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestMain ends what the last test has left for the next.
func TestMain(m *testing.M) {
	code := m.Run()
	if running {
		if out, err := Try(time.Minute, "lifeboat", "down"); err != nil {
			fmt.Fprintf(os.Stderr, "lab lifeboat down: %v\n%s", err, out)
		}
	}
	os.Exit(code)
}

// TestLabItself: that the lab breaks what it says it breaks, and sees what it says it
// sees. Nothing of Lifeboat runs.
func TestLabItself(t *testing.T) {
	Stop(t)
	Up(t)
	for _, host := range []string{"cmp01", "cmp02"} { // IPMI, Redfish
		t.Run("power "+host, func(t *testing.T) {
			wantPower(t, host, true)
			boot := bootID(t, host)
			BMC(t, host, "off")
			wantPower(t, host, false)
			if Ping(host) {
				t.Error("a host without power answers")
			}
			BMC(t, host, "on")
			wantPower(t, host, true)
			Wait(t, "its network", 15*time.Second, func() bool { return Ping(host) })
			if bootID(t, host) == boot {
				t.Error("a new boot, and the boot id of the old one")
			}
			log := slices.CompactFunc(PowerLog(t), func(a, b PowerCommand) bool { // ipmitool repeats what is slow
				return a.Host == b.Host && a.Verb == b.Verb
			})
			if n := len(log); n < 2 || log[n-2].Verb != "off" || log[n-1].Verb != "on" || log[n-1].Host != host {
				t.Errorf("power log: %v", log)
			}
		})
		t.Run("hang "+host, func(t *testing.T) {
			Fault(t, "hang", host)
			wantPower(t, host, true)
			if Ping(host) {
				t.Error("a dead kernel answers")
			}
			Heal(t, "hang", host)
			Wait(t, "its network", 15*time.Second, func() bool { return Ping(host) })
		})
		t.Run("wedge "+host, func(t *testing.T) {
			Fault(t, "wedge", host)
			wantPower(t, host, true)
			if !Ping(host) {
				t.Error("its kernel lives and does not answer")
			}
			Heal(t, "wedge", host)
		})
		t.Run("power-cut "+host, func(t *testing.T) {
			Fault(t, "power-cut", host)
			wantPower(t, host, false)
			if Ping(host) {
				t.Error("a host without power answers")
			}
			Heal(t, "power-cut", host)
			wantPower(t, host, true)
		})
		t.Run("lying BMC "+host, func(t *testing.T) {
			Fault(t, "bmc-lies", host)
			BMC(t, host, "off")
			wantPower(t, host, true)
			Heal(t, "bmc-lies", host)
		})
		for _, fault := range []string{"bmc-dead", "bmc-cut", "bmc-refuse"} {
			t.Run(fault+" "+host, func(t *testing.T) {
				Fault(t, fault, host)
				if out, err := Try(time.Minute, "bmc", host, "status"); err == nil {
					t.Errorf("the BMC answers: %s", out)
				}
				Heal(t, fault, host)
				Wait(t, "the BMC", 10*time.Second, func() bool {
					_, err := Try(time.Minute, "bmc", host, "status")
					return err == nil
				})
			})
		}
	}
	t.Run("cut", func(t *testing.T) {
		for _, c := range []struct {
			fault    []string
			from, to string
			want     bool
		}{
			{[]string{"net-cut", "cmp03"}, "lbc1", "cmp03", false},
			{[]string{"filter", "cmp03"}, "lbc1", "cmp03", false},
			{[]string{"filter", "cmp03"}, "cmp03", "cmp04", true}, // what it begins itself goes on
			{[]string{"ring-cut", "cmp03"}, "lbc1", "cmp03", true},
			{[]string{"split", "cmp03,cmp04"}, "cmp03", "cmp04", true},
			{[]string{"split", "cmp03,cmp04"}, "cmp03", "cmp05", false},
			{[]string{"split", "cmp03,cmp04"}, "lbc1", "cmp03", true},
			{[]string{"split", "cmp03,cmp04", "--controllers"}, "lbc1", "cmp03", false},
			{[]string{"ctl-cut"}, "lbc1", "cmp03", false},
			{[]string{"ctl-cut"}, "cmp05", "cmp03", true},
			{[]string{"controller-cut", "lbc1"}, "lbc1", "cmp03", false},
		} {
			ping := func() bool {
				_, err := Run(c.from, "ping", "-c", "1", "-W", "1", Address(c.to))
				return err == nil
			}
			Fault(t, c.fault[0], c.fault[1:]...)
			if got := ping(); got != c.want {
				t.Errorf("%v: ping from %s to %s: %v, want %v", c.fault, c.from, c.to, got, c.want)
			}
			Heal(t, c.fault[0], c.fault[1:]...)
			Wait(t, "the healed network", 10*time.Second, ping)
		}
	})
	t.Run("reboot", func(t *testing.T) {
		boot := bootID(t, "cmp04")
		Fault(t, "reboot", "cmp04", "4")
		if Ping("cmp04") && starting("cmp04") { // asked in this order, however long a look takes
			t.Error("it answers from its firmware")
		}
		for began := time.Now(); time.Since(began) < 2*time.Second; {
			wantPower(t, "cmp04", true)
		}
		Wait(t, "its network", 20*time.Second, func() bool { return Ping("cmp04") })
		if bootID(t, "cmp04") == boot {
			t.Error("a new boot, and the boot id of the old one")
		}
		Lab(t, "reset") // waits until its daemons are back
	})
	t.Run("evacuation", func(t *testing.T) {
		servers := Boot(t, "cmp01", 4)
		stopped := servers[0]
		Lab(t, "stop", stopped)
		wantCopies(t, servers, stopped)
		BMC(t, "cmp01", "off")
		if copies, _ := Copies(t); len(copies) > 0 {
			t.Fatalf("guests without power: %v", copies)
		}
		t.Log(Floor(t, "cmp01"))
		WaitEvacuated(t, "cmp01", 4, 10*time.Second)
		wantCopies(t, servers, stopped)
		AssertNoSecondCopy(t)
		for _, id := range servers {
			if n := EvacuatePosts(t)[id]; n != 1 {
				t.Errorf("%s: %d evacuate POSTs, want 1", id, n)
			}
		}
		for _, m := range Migrations(t, "cmp01") {
			if m.Status != "done" {
				t.Errorf("migration %+v, want done", m)
			}
		}
		BMC(t, "cmp01", "on")
		Wait(t, "the source to clean up", time.Minute, func() bool {
			for _, m := range Migrations(t, "cmp01") {
				if m.Status != "completed" {
					return false
				}
			}
			return true
		})
		if left, err := os.ReadDir(filepath.Join(Dir(), "machines/cmp01/instances")); err != nil || len(left) > 0 {
			t.Errorf("left on the source: %v %v", left, err)
		}
		wantCopies(t, servers, stopped)
		AssertNoSecondCopy(t)
	})
	t.Run("second copy", func(t *testing.T) { // the one that this test is allowed to make
		id := Boot(t, "cmp03", 1)[0]
		Lab(t, "second-copy", id, "cmp04")
		copies, violations := Copies(t)
		if copies[id] != 2 || violations != 1 {
			t.Errorf("%d copies and %d violations, want 2 and 1", copies[id], violations)
		}
		Lab(t, "reset")
	})
}

// starting tells whether a host's firmware is at work still.
func starting(host string) bool {
	_, err := os.Stat(filepath.Join(Dir(), "machines", host, "starting"))
	return err == nil
}

func bootID(t *testing.T, host string) string {
	t.Helper()
	id, err := os.ReadFile(filepath.Join(Dir(), "machines", host, "boot_id"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(id)
}

func wantPower(t *testing.T, host string, on bool) {
	t.Helper()
	if PowerOn(t, host) != on {
		t.Errorf("%s: power %v, want %v", host, !on, on)
	}
	if got := BMC(t, host, "status"); (got == "on") != on {
		t.Errorf("%s: its BMC says %q, want %v", host, got, on)
	}
}

// wantCopies wants one running guest for each server, and none for the stopped one.
func wantCopies(t *testing.T, servers []string, stopped string) {
	t.Helper()
	copies, _ := Copies(t)
	for _, id := range servers {
		want := 1
		if id == stopped {
			want = 0
		}
		if copies[id] != want {
			t.Errorf("%s runs %d times, want %d", id, copies[id], want)
		}
	}
}
