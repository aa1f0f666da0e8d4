package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

func TestBases(t *testing.T) {
	for _, row := range []struct {
		normal     func(string) string
		given, got string
	}{
		{computeBase, "http://h:8774", "http://h:8774/v2.1/"},
		{computeBase, "http://h:8774/", "http://h:8774/v2.1/"},
		{computeBase, "http://h:8774/v2.1", "http://h:8774/v2.1/"},
		{computeBase, "http://h:8774/v2.1/", "http://h:8774/v2.1/"},
		{computeBase, "http://h:8774/v2.1/3b1c", "http://h:8774/v2.1/"},
		{computeBase, "http://h:8774/v2/3b1c", "http://h:8774/v2.1/"},
		{computeBase, "https://h/compute/v2.1", "https://h/compute/v2.1/"},
		{computeBase, "https://h/compute", "https://h/compute/v2.1/"},
		{identityBase, "http://h:5000", "http://h:5000/v3/"},
		{identityBase, "http://h:5000/v3/", "http://h:5000/v3/"},
		{identityBase, "http://h:5000/v2.0", "http://h:5000/v3/"},
		{identityBase, "http://h/identity", "http://h/identity/v3/"},
		{placementBase, "http://h/placement", "http://h/placement/"},
	} {
		if got := row.normal(row.given); got != row.got {
			t.Errorf("%s: %s, want %s", row.given, got, row.got)
		}
	}
}

// two is a cloud behind two addresses: a node-local one, and that of the VIP.
type two struct {
	world
	local, vip *novatest.Transport
}

func onTwo(t *testing.T, f func(w two)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		account(t)
		cloud := novatest.New(novatest.Options{Now: time.Now})
		t.Cleanup(cloud.Close)
		w := two{world{T: t, cloud: cloud}, cloud.Transport(), cloud.Transport()}
		client, err := Connect(t.Context(), Options{
			Now:       time.Now,
			Transport: byHost{"local": w.local, "nova.test": w.vip},
			Endpoints: []string{"http://local/compute"}, AuthEndpoints: []string{"http://local/identity"},
			PlacementEndpoints: []string{"http://local/placement"},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		w.client = client
		cloud.AddHost("cmp01")
		cloud.AddHost("cmp02")
		f(w)
	})
}

// Losing either address loses nothing, neither for reads, writes nor logins.
func TestEitherAddressServes(t *testing.T) {
	for name, row := range map[string]struct{ local, vip bool }{
		"both": {true, true}, "VIP gone": {true, false}, "local gone": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			onTwo(t, func(w two) {
				w.local.SetReachable(row.local)
				w.vip.SetReachable(row.vip)
				id := w.cloud.Boot("cmp01", 1)[0]
				w.kill("cmp01")
				if _, err := w.client.Evacuate(w.Context(), id, nova.Target{}); err != nil {
					t.Error(err)
				}
				if _, err := w.client.ComputeStatusDisabled(w.Context(), "cmp01"); err != nil {
					t.Error(err)
				}
				if err := w.client.Renew(w.Context()); err != nil {
					t.Error(err)
				}
				if n := w.cloud.EvacuatePosts(id); n != 1 {
					t.Errorf("%d POSTs", n)
				}
			})
		})
	}
	onTwo(t, func(w two) {
		w.local.SetReachable(false)
		w.vip.SetReachable(false)
		_, err := w.client.Evacuate(w.Context(), "x", nova.Target{})
		wantFault(t, err, nova.FaultUnsent)
		wantFault(t, w.client.Ping(w.Context()), nova.FaultUnsent)
		wantFault(t, w.client.Renew(w.Context()), nova.FaultUnsent)
	})
}

// A write goes to a second address only if not a byte reached the first.
func TestWritesNeverMoveOn(t *testing.T) {
	for name, fault := range map[string]novatest.Fault{
		"reset":                  {Reset: true},
		"reset after acceptance": {Reset: true, After: true},
		"502":                    {Status: 502},
		"503":                    {Status: 503},
		"hang":                   {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			onTwo(t, func(w two) {
				id := w.cloud.Boot("cmp01", 1)[0]
				w.kill("cmp01")
				fault.Match = "/action"
				w.cloud.Inject(fault)
				if _, err := w.client.Evacuate(w.within(10*time.Second), id, nova.Target{}); nova.FaultOf(err).Definite() {
					t.Errorf("%v is no definite no", err)
				}
				if n := w.cloud.EvacuatePosts(id); n != 1 {
					t.Errorf("%d POSTs", n)
				}
			})
		})
	}
}

// A read moves on: at once from an address that answers nonsense, after some
// patience from one that hangs, and then asks that one last for a while.
func TestReadsMoveOn(t *testing.T) {
	for name, row := range map[string]struct {
		fault novatest.Fault
		takes time.Duration
	}{
		"reset once":    {novatest.Fault{Reset: true, Times: 1}, 0}, // asked again on the same address
		"reset twice":   {novatest.Fault{Reset: true, Times: 2}, 0},
		"503":           {novatest.Fault{Status: 503, Times: 1}, 0},
		"502 and reset": {novatest.Fault{Status: 502, Times: 1}, 0},
		"hang":          {novatest.Fault{Hang: true, Times: 1}, patience},
		"answer lost":   {novatest.Fault{Reset: true, After: true, Times: 2}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			onTwo(t, func(w two) {
				row.fault.Match = "/os-services"
				w.cloud.Inject(row.fault)
				began := time.Now()
				if err := w.client.Ping(w.Context()); err != nil || time.Since(began) != row.takes {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		})
	}
	onTwo(t, func(w two) {
		w.cloud.Inject(novatest.Fault{Match: "/os-services", Hang: true, Times: 1})
		_ = w.client.Ping(w.Context())
		if order := w.client.compute.order(time.Now()); !strings.Contains(order[0], "nova.test") || len(order) != 2 {
			t.Errorf("after a hang the order is %v", order)
		}
		time.Sleep(illFor)
		if order := w.client.compute.order(time.Now()); !strings.Contains(order[0], "local") {
			t.Errorf("later it is %v", order)
		}
	})
}

// With one address a read is asked again after a reset, and no other time.
func TestReadsAskedAgain(t *testing.T) {
	for name, row := range map[string]struct {
		fault novatest.Fault
		want  nova.Fault
		asked int
	}{
		"reset once":    {novatest.Fault{Reset: true, Times: 1}, "", 2},
		"reset for all": {novatest.Fault{Reset: true}, nova.FaultUnknown, 2},
		"500":           {novatest.Fault{Status: 500}, nova.FaultUnknown, 1},
		"503":           {novatest.Fault{Status: 503}, nova.FaultUnknown, 1},
		"401 for all":   {novatest.Fault{Status: 401}, nova.FaultAuth, 2},
		"403":           {novatest.Fault{Status: 403}, nova.FaultRefused, 1},
		"429":           {novatest.Fault{Status: 429}, nova.FaultBusy, 1},
		"300":           {novatest.Fault{Status: 300}, nova.FaultRefused, 1},
		"hang":          {novatest.Fault{Hang: true}, nova.FaultTimeout, 1},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, novatest.Options{}, func(w world) {
				row.fault.Match = "/os-services"
				w.cloud.Inject(row.fault)
				wantFault(t, w.client.Ping(w.Context()), row.want)
				if n := len(seen(w.cloud, "/os-services")); n != row.asked {
					t.Errorf("asked %d times, want %d", n, row.asked)
				}
			})
		})
	}
}

// No call runs without a deadline, and none outlives its caller's.
func TestDeadlines(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		w.cloud.Inject(novatest.Fault{Hang: true})
		began := time.Now()
		wantFault(t, w.client.Ping(w.Context()), nova.FaultTimeout)
		if took := time.Since(began); took != Default().Timeout {
			t.Errorf("without a deadline it took %v", took)
		}
		ctx, cancel := context.WithCancel(w.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := w.client.Evacuate(ctx, "x", nova.Target{})
		wantFault(t, err, nova.FaultTimeout)
		ctx, cancel = context.WithCancel(w.Context())
		cancel()
		_, err = w.client.Evacuate(ctx, "x", nova.Target{})
		wantFault(t, err, nova.FaultTimeout)
	})
}

func TestVersions(t *testing.T) {
	for name, row := range map[string]struct {
		newest string
		want   string // part of the error; empty: fine
	}{
		"Zed":     {"2.93", ""},
		"newest":  {"2.104", ""},
		"Pike":    {"2.53", ""},
		"Ocata":   {"2.42", "this Nova speaks microversions up to 2.42; Lifeboat needs 2.53 (Pike) or newer"},
		"ancient": {"", "names no microversion"},
		"odd":     {"3.1", "names no microversion"},
	} {
		t.Run(name, func(t *testing.T) {
			account(t)
			cloud := novatest.New(novatest.Options{Now: time.Now, Version: row.newest})
			defer cloud.Close()
			transport := roundTrip(func(r *http.Request) (*http.Response, error) {
				if row.newest == "" && strings.HasSuffix(r.URL.Path, "/v2.1/") {
					return answerWith(200, `{"version":{"id":"v2.0"}}`), nil
				}
				return cloud.Transport().RoundTrip(r)
			})
			client, err := Connect(t.Context(), Options{Now: time.Now, Transport: transport})
			if row.want != "" {
				wantFault(t, err, nova.FaultRefused, row.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := client.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	if got := pins(1, 93); got.evacuate != "2.68" || got.services != "2.69" || got.hypervisors != "2.53" || got.migrations != "2.80" {
		t.Errorf("Zed: %+v", got)
	}
	if got := pins(1, 60); got.evacuate != "2.60" || got.services != "2.60" || got.server != "2.60" || got.actions != "2.58" {
		t.Errorf("an older one: %+v", got)
	}
	if pins(1, 95).servers != "2.69" || pins(1, 96).servers != "2.96" || pins(1, 104).servers != "2.96" {
		t.Errorf("lists of servers by %s, %s, %s", pins(1, 95).servers, pins(1, 96).servers, pins(1, 104).servers)
	}
	if got := pins(79, 120); got.evacuate != "2.79" || got.migrations != "2.80" {
		t.Errorf("one that dropped the old: %+v", got)
	}
}

// An API that was exchanged under us says 406; the next call negotiates anew.
func TestNegotiatedAgain(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		w.cloud.Inject(novatest.Fault{Match: "/os-services", Status: 406, Times: 1})
		wantFault(t, w.client.Ping(w.Context()), nova.FaultRefused)
		if err := w.client.Ping(w.Context()); err != nil || len(seen(w.cloud, "GET / ")) != 2 {
			t.Errorf("%v; %v", err, seen(w.cloud, "GET / "))
		}
		// A write that fails before it is sent is a definite no.
		w.cloud.Inject(novatest.Fault{Match: "/os-services", Status: 406, Times: 1})
		_ = w.client.Ping(w.Context())
		w.cloud.Inject(novatest.Fault{Match: "GET /compute/v2.1/ ", Status: 502})
		_, err := w.client.Evacuate(w.Context(), "x", nova.Target{})
		wantFault(t, err, nova.FaultUnsent)
		_, err = w.client.UpdateService(w.Context(), "x", nova.ServiceUpdate{ForcedDown: new(true)})
		wantFault(t, err, nova.FaultUnsent)
	})
}

func TestCatalogWithoutNova(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account(t)
		t.Setenv("OS_REGION_NAME", "elsewhere")
		cloud := novatest.New(novatest.Options{Now: time.Now})
		defer cloud.Close()
		_, err := Connect(t.Context(), Options{Now: time.Now, Transport: cloud.Transport()})
		wantFault(t, err, nova.FaultRefused, `region "elsewhere"`)
		// An address given by hand does without a catalog, but for Placement.
		client, err := Connect(t.Context(), Options{Now: time.Now, Transport: cloud.Transport(), Endpoints: []string{"http://nova.test/compute"}})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		cloud.AddHost("cmp01")
		_, err = client.ComputeStatusDisabled(t.Context(), "cmp01")
		wantFault(t, err, nova.FaultRefused, "no placement endpoint")
	})
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []string
		cloud, client := connected(t, novatest.Options{}, func(o *Options) {
			o.Observe = func(call, fault string, took time.Duration) {
				heard = append(heard, fmt.Sprint(call, " ", fault, " ", took))
			}
		})
		cloud.Inject(novatest.Fault{Match: "/os-services", Delay: time.Second, Times: 1})
		_ = client.Ping(t.Context())
		cloud.Inject(novatest.Fault{Match: "/os-services", Status: 500})
		_ = client.Ping(t.Context())
		if want := []string{"login ok 0s", "versions ok 0s", "services ok 1s", "services unknown 0s"}; !slices.Equal(heard, want) {
			t.Errorf("heard %q", heard)
		}
	})
}
