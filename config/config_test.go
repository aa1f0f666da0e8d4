package config_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

var update = flag.Bool("update", false, "write the messages of today into testdata")

const (
	deploy = "../deploy/"
	want   = "# want "
)

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(kind, name string, data []byte) error {
	if kind == "agent" {
		_, err := config.ParseAgent(name, data)
		return err
	}
	_, err := config.ParseController(name, data)
	return err
}

// TestMistakes holds every file of testdata, each with one mistake, against the
// messages at its end.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		kind, name := filepath.Base(filepath.Dir(path)), filepath.Base(path)
		t.Run(kind+"/"+strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			body, expected, _ := strings.Cut(string(read(t, path)), want)
			expected = want + expected
			err := parse(kind, name, []byte(body))
			if err == nil {
				t.Fatal("the mistake was not found")
			}
			got := ""
			for line := range strings.Lines(err.Error() + "\n") {
				got += want + line
			}
			if *update {
				if err := os.WriteFile(path, []byte(body+got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != expected {
				t.Errorf("got\n%swant\n%s", got, expected)
			}
			if n := strings.Count(got, "\n"); n > 1 && !slices.Contains([]string{"empty.yaml", "tls-missing.yaml", "everything-at-once.yaml"}, name) {
				t.Errorf("one mistake gave %d messages:\n%s", n, got)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("the message repeats a password")
			}
		})
	}
}

func TestExamples(t *testing.T) {
	c, err := config.ParseController("controller.example.yaml", read(t, deploy+"controller.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	b := c.Hosts[1].BMC[0]
	switch {
	case c.Peer.Listen != netip.MustParseAddrPort("10.0.0.11:7947"),
		c.Ring.Bind != netip.MustParseAddrPort("10.0.0.11:7946"), c.Ring.Advertise != c.Ring.Bind,
		c.Policy.QuietPeriod != 3*time.Minute, c.Policy.Mode != "observe", c.Policy.Storm.Count != 0,
		b.Address != "10.9.0.22:623", b.Username != "lifeboat", b.Cipher != "17", b.Privilege != "admin",
		b.Password.File != "/etc/lifeboat/bmc-cmp02.password", b.Budget != 20*time.Second,
		c.Hosts[0].BMC[0].Cipher != "", c.Hosts[0].BMC[0].Password.Credential != "bmc":
		t.Errorf("defaults are not as documented:\n%s", c.Effective())
	}
	a, err := config.ParseAgent("agent.example.yaml", read(t, deploy+"agent.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if a.Heartbeat.Bind.Port() != 0 || a.Ring.Advertise != a.Ring.Bind || a.Sensors.ComputeProcess != "nova-compute" {
		t.Errorf("defaults are not as documented:\n%s", a.Effective())
	}
}

// TestExamplesShowDefaults takes the comment sign off every key of the examples:
// what they call a default must be one, and no key may be forgotten there.
func TestExamplesShowDefaults(t *testing.T) {
	for kind, keys := range map[string][]string{
		"controller": {"single", "advertise", "per_destination", "placement_endpoints", "probe", "matrix", "log", "cipher", "insecure"},
		"agent":      {"advertise", "uuid_file", "compute_process", "targets", "log"},
	} {
		data := string(read(t, deploy+kind+".example.yaml"))
		for _, key := range keys {
			if !strings.Contains(data, key+":") {
				t.Errorf("%s: %s is not shown", kind, key)
			}
		}
		var lines []string
		for line := range strings.Lines(data) {
			indent := len(line) - len(strings.TrimLeft(line, " "))
			rest, ok := strings.CutPrefix(line[indent:], "# ")
			name, _, isKey := strings.Cut(rest, ":")
			if ok && isKey && name == strings.ToLower(name) && !strings.Contains(strings.TrimLeft(name, " "), " ") {
				line = line[:indent] + rest
			}
			lines = append(lines, line)
		}
		all := strings.Join(lines, "")
		if err := parse(kind, kind, []byte(all)); err != nil {
			// The certificates of the API and the ways to trust a BMC are examples
			// of what is not there by default; nothing else may fail.
			t.Errorf("%s with every key: %v", kind, err)
		}
	}
}

func TestEffectiveReadsBack(t *testing.T) {
	example := strings.ReplaceAll(string(read(t, deploy+"controller.example.yaml")), "10.0.0.", "fd00::")
	for _, s := range []string{"11:79", "12:79", "13:79"} {
		example = strings.ReplaceAll(example, "fd00::"+s, "[fd00::"+strings.Replace(s, ":", "]:", 1))
	}
	for _, s := range []string{"11:8774", "12:8774"} {
		example = strings.ReplaceAll(example, "fd00::"+s, "[fd00::"+strings.Replace(s, ":", "]:", 1))
	}
	for _, data := range []string{string(read(t, deploy+"controller.example.yaml")), example} {
		c, err := config.ParseController("c", []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		again, err := config.ParseController("c", []byte(c.Effective()))
		if err != nil {
			t.Fatalf("%v\n%s", err, c.Effective())
		}
		if c.Effective() != again.Effective() {
			t.Errorf("read back differently:\n%s\n%s", c.Effective(), again.Effective())
		}
	}
	a, err := config.ParseAgent("a", []byte("host: cmp01\nring: {bind: \"[fd00::1]:7946\"}\ncontrollers: [\"[fd00::2]:7947\"]\nsensors: {compute_process: \"\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.ParseAgent("a", []byte(a.Effective()))
	if err != nil || again.Effective() != a.Effective() || again.Sensors.ComputeProcess != "" {
		t.Errorf("%v\n%s", err, a.Effective())
	}
}

// The words of evacuate and of config must be the same ones.
func TestWordsOfEvacuate(t *testing.T) {
	for _, m := range evacuate.Modes {
		data := strings.Replace(string(read(t, deploy+"controller.example.yaml")), "mode: observe", "mode: "+string(m), 1)
		if err := parse("controller", "c", []byte(data)); err != nil {
			t.Errorf("mode %s: %v", m, err)
		}
	}
	for word, s := range map[string]evacuate.Storage{
		config.StorageNone: evacuate.StorageNone, config.StorageShared: evacuate.StorageShared,
		config.StorageVolume: evacuate.StorageVolume, config.StorageLocal: evacuate.StorageLocal,
		config.StorageReimage: evacuate.StorageReimage,
	} {
		if word != string(s) {
			t.Errorf("%s here, %s there", word, s)
		}
	}
	for combination, meaning := range detector.DefaultMatrix() {
		matrix := "\n  matrix: {" + combination + ": " + string(meaning) + "}\n"
		if err := parse("controller", "c", []byte(strings.Replace(string(read(t, deploy+"controller.example.yaml")), "\n  mode: observe\n", "\n  mode: observe"+matrix, 1))); err != nil {
			t.Errorf("matrix %s: %v", combination, err)
		}
	}
	p := evacuate.DefaultPolicy()
	c, err := config.ParseController("c", read(t, deploy+"controller.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if q := c.Policy; p.LeaderGrace != q.LeaderGrace || p.StormPercent != q.Storm.Percent || p.Concurrency != q.Concurrency ||
		p.InFlight != q.InFlight || p.CliffPercent != q.Storm.Cliff.Percent || p.CliffWindow != q.Storm.Cliff.Within || p.QuietPeriod != q.QuietPeriod || p.HealthyDelay != q.HealthyDelay {
		t.Errorf("defaults differ: %+v, %+v", p, q)
	} else if string(p.Destinations) != q.Destinations || string(p.Affinity) != q.Affinity || p.Order.Owners != q.Order.Owners || len(q.Restart) > 0 {
		t.Errorf("defaults differ: %+v, %+v", p, q)
	}
	if d, g := p.Restarts, c.Policy.Guests; string(d.Crashed) != g.Crashed || string(d.Rebooted) != g.Rebooted || d.Limit != g.Limit || d.Within != g.Within ||
		d.All != (g.Instances == config.GuestsAll) || fmt.Sprint(d.Kinds) != fmt.Sprint(g.Kinds) {
		t.Errorf("defaults differ: %+v, %+v", d, g)
	}
	ends := strings.ReplaceAll(fmt.Sprint(detector.GuestEnds), " ", ", ")
	for key, words := range map[string][]string{
		"destinations": {string(evacuate.DestinationsSpread), string(evacuate.DestinationsScheduler)},
		"affinity":     {string(evacuate.AffinityAsk), string(evacuate.AffinityForce)},
		"services":     {string(evacuate.ServicesReport), string(evacuate.ServicesDisable), string(evacuate.ServicesMigrate), string(evacuate.ServicesFence)},
		"guests":       {"{crashed: " + string(evacuate.RestartOff) + "}", "{rebooted: " + string(evacuate.RestartDo) + "}", "{crashed: " + string(evacuate.RestartReport) + "}", "{kinds: " + ends + "}"},
		"restart":      {"[" + strings.Join(evacuate.Restartable, ", ") + "]"},
	} {
		for _, word := range words {
			text := strings.Replace(string(read(t, deploy+"controller.example.yaml")), "\n  mode: observe\n", "\n  mode: observe\n  "+key+": "+word+"\n", 1)
			if err := parse("controller", "c", []byte(text)); err != nil {
				t.Errorf("%s: %s: %v", key, word, err)
			}
		}
	}
}

func TestAPIBeyondLoopbackIsServedByTLS(t *testing.T) {
	example := string(read(t, deploy+"controller.example.yaml"))
	for listen, certificate := range map[string]string{
		`"10.0.0.11:7948"`:                   "/etc/lifeboat/tls/ctl1.pem",
		`"0.0.0.0:7948"`:                     "/etc/lifeboat/tls/ctl1.pem",
		`"127.0.0.1:7948"`:                   "",
		`"[::1]:7948"`:                       "",
		"\"0.0.0.0:7948\"\n  insecure: true": "",
	} {
		c, err := config.ParseController("c", []byte(strings.Replace(example, "\napi:\n", "\napi:\n  listen: "+listen+"\n", 1)))
		if err != nil || c.API.Certificate != certificate {
			t.Errorf("%s: %q, %v", listen, c.API.Certificate, err)
		}
	}
}

func TestOneRedfishServiceForManySystems(t *testing.T) {
	host := func(n, system string) string {
		return "  - {name: cmp0" + n + ", addresses: {management: 10.0.0.2" + n + "}, bmc: [{method: redfish, address: \"https://10.9.0.1\", system: " + system + "}]}\n"
	}
	data := string(read(t, deploy+"controller.example.yaml"))
	data = data[:strings.Index(data, "\nhosts:")] + "\nhosts:\n"
	if err := parse("controller", "c", []byte(data+host("1", "/redfish/v1/Systems/1")+host("2", "/redfish/v1/Systems/2")+host("3", "/redfish/v1/Systems/3"))); err != nil {
		t.Error(err)
	}
	err := parse("controller", "c", []byte(data+host("1", "/redfish/v1/Systems/1")+host("2", "/redfish/v1/Systems/2")+host("3", "/redfish/v1/Systems/2")))
	if err == nil || !strings.Contains(err.Error(), "host \"cmp02\" too") {
		t.Error(err)
	}
	// IPMI on the same BMC does not know its systems: it would power one of them,
	// or all.
	ipmi := strings.Replace(host("1", "/redfish/v1/Systems/1"), "}]}", "}, {method: ipmi, address: \"10.9.0.1\"}]}", 1)
	err = parse("controller", "c", []byte(data+ipmi+host("2", "/redfish/v1/Systems/2")))
	if err == nil || !strings.Contains(err.Error(), "host \"cmp01\" too") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.yaml")
	for _, path := range append(files, deploy+"controller.example.yaml", deploy+"agent.example.yaml") {
		f.Add(read(f, path))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := config.ParseController("c", data); err == nil {
			if _, err := config.ParseController("c", []byte(c.Effective())); err != nil {
				t.Errorf("the effective file is refused: %v\n%s", err, c.Effective())
			}
		}
		if a, err := config.ParseAgent("a", data); err == nil {
			if _, err := config.ParseAgent("a", []byte(a.Effective())); err != nil {
				t.Errorf("the effective file is refused: %v\n%s", err, a.Effective())
			}
		}
	})
}
