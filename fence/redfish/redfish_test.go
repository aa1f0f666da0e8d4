package redfish_test

import (
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/fence/redfish"
)

func TestOverTLS(t *testing.T) {
	machine := fencetest.NewMachine(true)
	bmc := &fencetest.Redfish{Now: time.Now, Username: "admin", Password: password,
		Systems: []fencetest.System{{ID: "1", UUID: uuid, Serial: "serial-1", Machine: machine}}}
	server := httptest.NewTLSServer(bmc)
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	pin := fmt.Sprintf("sha256:%X", sha256.Sum256(server.Certificate().Raw))
	other := "sha256:" + strings.Repeat("ab", sha256.Size)
	for _, test := range []struct {
		name string
		o    redfish.Options
		ok   bool
	}{
		{"ca", redfish.Options{CA: ca}, true},
		{"pin", redfish.Options{Fingerprint: pin}, true},
		{"ca and pin", redfish.Options{CA: ca, Fingerprint: pin}, true},
		{"insecure", redfish.Options{Insecure: true}, true},
		{"unknown authority", redfish.Options{}, false},
		{"another pin", redfish.Options{Fingerprint: other}, false},
		{"ca and another pin", redfish.Options{CA: ca, Fingerprint: other}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := test.o
			o.Address, o.Username, o.Password, o.Now = server.URL+"/", "admin", password, time.Now
			m, err := redfish.New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			machine.Power(true)
			r, off := m.Power(t.Context()), m.Off(t.Context())
			if !test.ok {
				if r.Power != fence.Unknown || r.Cause != fence.CauseIdentity || off == nil || !machine.On() {
					t.Fatalf("%+v, off: %v", r, off)
				}
				return
			}
			if r.Power != fence.On || off != nil || machine.On() {
				t.Fatalf("%+v, off: %v", r, off)
			}
			if id, err := m.Identity(t.Context()); id != (fence.Identity{UUID: uuid, Serial: "SERIAL-1"}) || err != nil {
				t.Fatal(id, err)
			}
		})
	}
}

// TestStates is what each answer of a BMC to a look and to an off means.
func TestStates(t *testing.T) {
	type k = fencetest.Knobs
	for _, test := range []struct {
		name    string
		on      bool
		knobs   k
		power   fence.Power
		cause   fence.Cause
		off     fence.Cause // of Off's error, "-" for none
		refused bool
	}{
		{"on", true, k{}, fence.On, "", "-", false},
		{"off", false, k{}, fence.Off, "", "-", false},
		{"409 when off", false, k{Conflict: true}, fence.Off, "", "-", false},
		{"409 when off, and cannot tell", false, k{Conflict: true, Empty: true}, fence.Unknown, fence.CauseProtocol, fence.CauseProtocol, true},
		{"empty", true, k{Empty: true}, fence.Unknown, fence.CauseProtocol, "-", false},
		{"busy", true, k{Busy: -1}, fence.Unknown, fence.CauseBusy, fence.CauseBusy, true},
		{"401", true, k{Unauthorized: -1}, fence.Unknown, fence.CauseAuth, fence.CauseAuth, true},
		{"task", true, k{Task: true}, fence.On, "", "-", false},
		{"ignored", true, k{NotHonoured: true}, fence.On, "", "-", false},
		{"lies", true, k{LyingOff: true}, fence.Off, "", "-", false},
		{"silent", true, k{Unreachable: true}, fence.Unknown, fence.CauseUnreachable, fence.CauseUnreachable, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bmc, machine, m := world(t)
				machine.Power(test.on)
				bmc.Set(func(k *fencetest.Knobs) { *k = test.knobs })
				ctx, cancel := timeout(t)
				defer cancel()
				if r := m.Power(ctx); r.Power != test.power || r.Cause != test.cause {
					t.Errorf("reading %+v", r)
				}
				ctx, cancel = timeout(t)
				defer cancel()
				err := m.Off(ctx)
				e, failed := errors.AsType[*fence.Error](err)
				if failed == (test.off == "-") || (failed && (e.Cause != test.off || e.Refused != test.refused)) {
					t.Errorf("off: %v (refused %v)", err, failed && e.Refused)
				}
			})
		})
	}
}

func TestTransition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bmc, _, m := world(t)
		bmc.Set(func(k *fencetest.Knobs) { k.Lag, k.Transitional = time.Second, true })
		if err := m.Off(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := m.Power(t.Context()); r.Power != fence.Unknown || r.Cause != fence.CauseTransition || r.Raw != "PoweringOff" {
			t.Errorf("%+v", r)
		}
		time.Sleep(time.Second)
		if r := m.Power(t.Context()); r.Power != fence.Off {
			t.Errorf("%+v", r)
		}
	})
}

// TestSeveralSystems: a neighbour in the chassis is never touched.
func TestSeveralSystems(t *testing.T) {
	neighbour := fencetest.NewMachine(true)
	bmc, machine, m := world(t, fencetest.System{ID: "2", Machine: neighbour})
	r, err := m.Power(t.Context()), m.Off(t.Context())
	if r.Power != fence.Unknown || r.Cause != fence.CauseIdentity || err == nil ||
		!strings.Contains(r.Raw, "/redfish/v1/Systems/1, /redfish/v1/Systems/2") || len(bmc.Commands()) != 0 {
		t.Errorf("undeclared: %+v, off: %v", r, err)
	}
	m = method(t, bmc, password, "/redfish/v1/Systems/1/")
	if err := m.Off(t.Context()); err != nil || machine.On() || !neighbour.On() {
		t.Errorf("%v, %v, neighbour %v", err, machine.On(), neighbour.On())
	}
	m = method(t, bmc, password, "/redfish/v1/Systems/7")
	if r := m.Power(t.Context()); r.Power != fence.Unknown || r.Cause != fence.CauseProtocol {
		t.Errorf("no such system: %+v", r)
	}
}

// TestOddAnswers are answers that no emulator of ours gives by itself.
func TestOddAnswers(t *testing.T) {
	const root = `{"@odata.id":"/redfish/v1/","Systems":{"@odata.id":"/redfish/v1/Systems"}}`
	const off = `"PowerState":"Off","Actions":{"#ComputerSystem.Reset":{"target":"/redfish/v1/Systems/1/Reset"}}`
	posted := func(w http.ResponseWriter, code int) { w.WriteHeader(code) }
	for _, test := range []struct {
		name, system string
		post         func(w http.ResponseWriter)
		power        fence.Power
		cause        fence.Cause
		off          fence.Cause // "-" for none
	}{
		{"null", `null`, nil, fence.Unknown, fence.CauseProtocol, fence.CauseProtocol},
		{"no JSON", `<html>login</html>`, nil, fence.Unknown, fence.CauseProtocol, fence.CauseProtocol},
		{"empty", ``, nil, fence.Unknown, fence.CauseProtocol, fence.CauseProtocol},
		{"a number", `{"PowerState":0}`, nil, fence.Unknown, fence.CauseProtocol, fence.CauseProtocol},
		{"lower case", `{"PowerState":"off"}`, nil, fence.Unknown, fence.CauseProtocol, fence.CauseProtocol},
		{"an error with 200", `{"error":{"code":"x","message":"Off"}}`, nil, fence.Unknown, fence.CauseProtocol, fence.CauseProtocol},
		{"paused", `{"PowerState":"Paused"}`, nil, fence.Unknown, fence.CauseTransition, fence.CauseProtocol},
		{"another system", `{"@odata.id":"/redfish/v1/Systems/2",` + off + `}`, nil, fence.Unknown, fence.CauseIdentity, fence.CauseIdentity},
		{"odd fields elsewhere", `{"PowerCycleDelaySeconds":"5","Boot":[],` + off + `}`, nil, fence.Off, "", "-"},
		{"reset of a chassis", `{"PowerState":"On","Actions":{"#ComputerSystem.Reset":{"target":"/redfish/v1/Chassis/1/Reset"}}}`, nil,
			fence.On, "", fence.CauseIdentity},
		{"off refused with 400, is off", `{` + off + `}`, func(w http.ResponseWriter) { posted(w, 400) }, fence.Off, "", "-"},
		{"off refused with 500, is off", `{` + off + `}`, func(w http.ResponseWriter) { posted(w, 500) }, fence.Off, "", fence.CauseProtocol},
		{"off refused with 503, is off", `{` + off + `}`, func(w http.ResponseWriter) { posted(w, 503) }, fence.Off, "", fence.CauseBusy},
		{"off refused with 400, is on", strings.Replace(`{`+off+`}`, "Off", "On", 1), func(w http.ResponseWriter) { posted(w, 400) },
			fence.On, "", fence.CauseProtocol},
		{"off goes elsewhere", `{` + off + `}`, func(w http.ResponseWriter) { w.Header().Set("Location", "/redfish/v1/"); posted(w, 303) },
			fence.Off, "", fence.CauseProtocol},
		{"on, and off goes elsewhere", strings.Replace(`{`+off+`}`, "Off", "On", 1),
			func(w http.ResponseWriter) { w.Header().Set("Location", "/redfish/v1/"); posted(w, 302) }, fence.On, "", fence.CauseProtocol},
		{"forbidden", strings.Replace(`{`+off+`}`, "Off", "On", 1), func(w http.ResponseWriter) { posted(w, 403) }, fence.On, "", fence.CauseAuth},
		{"not ready", strings.Replace(`{`+off+`}`, "Off", "On", 1), func(w http.ResponseWriter) {
			posted(w, 400)
			fmt.Fprint(w, `{"error":{"@Message.ExtendedInfo":[{"MessageId":"SWC0700","Message":"iDRAC is not ready for `+password+`"}]}}`)
		}, fence.On, "", fence.CauseBusy},
		{"proxy", strings.Replace(`{`+off+`}`, "Off", "On", 1), func(w http.ResponseWriter) { posted(w, 504) }, fence.On, "", fence.CauseUnreachable},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/redfish/v1/":
					fmt.Fprint(w, root)
				case r.Method == http.MethodPost && test.post != nil:
					test.post(w)
				case r.Method == http.MethodGet:
					fmt.Fprint(w, test.system)
				}
			}))
			defer server.Close()
			m, err := redfish.New(redfish.Options{Address: server.URL, System: "/redfish/v1/Systems/1", Username: "admin", Password: password,
				Client: server.Client(), Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			if r := m.Power(t.Context()); r.Power != test.power || r.Cause != test.cause {
				t.Errorf("reading %+v", r)
			}
			err = m.Off(t.Context())
			e, failed := errors.AsType[*fence.Error](err)
			if failed == (test.off == "-") || (failed && e.Cause != test.off) {
				t.Errorf("off: %v", err)
			}
			if failed && strings.Contains(err.Error(), password) {
				t.Error("the error shows the password")
			}
		})
	}
}

func TestOptions(t *testing.T) {
	good := redfish.Options{Address: "https://10.0.0.1", Username: "u", Password: "p", Now: time.Now}
	for want, change := range map[string]func(*redfish.Options){
		"":                  func(*redfish.Options) {},
		"not an https URL":  func(o *redfish.Options) { o.Address = "http://10.0.0.1" },
		"carries a user":    func(o *redfish.Options) { o.Address = "https://u:hidden@10.0.0.1" },
		"not a URL":         func(o *redfish.Options) { o.Address = "https://u:hidden@ 10.0.0.1:x" },
		"has a path":        func(o *redfish.Options) { o.Address = "https://10.0.0.1/redfish/v1/Systems/1" },
		"@odata.id":         func(o *redfish.Options) { o.System = "/redfish/v1/Chassis/1" },
		"username and pass": func(o *redfish.Options) { o.Password = "" },
		"no certificate":    func(o *redfish.Options) { o.CA = []byte("x") },
		"64 hex digits":     func(o *redfish.Options) { o.Fingerprint = "sha256:abc" },
		"contradicts":       func(o *redfish.Options) { o.Insecure, o.Fingerprint = true, "sha256:"+strings.Repeat("0", 64) },
		"no clock":          func(o *redfish.Options) { o.Now = nil },
	} {
		o := good
		change(&o)
		_, err := redfish.New(o)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", want, err)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q shows the password", want)
		}
	}
	if err := (redfish.Options{}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not all faults at once: %v", err)
	}
}
