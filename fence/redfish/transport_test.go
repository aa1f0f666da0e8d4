package redfish_test

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/fence/redfish"
)

// A BMC is asked for its service root once: of a slow one each answer counts.
func TestServiceRootIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bmc, _, m := world(t)
		for range 3 {
			if r := m.Power(t.Context()); r.Power != fence.On {
				t.Fatalf("%+v", r)
			}
		}
		// A root, the list of systems, the system; then the list and the system.
		if n := bmc.Requests(); n != 3+2+2 {
			t.Errorf("%d requests", n)
		}
	})
	// One that was not answered is asked again.
	synctest.Test(t, func(t *testing.T) {
		bmc, _, m := world(t)
		bmc.Set(func(k *fencetest.Knobs) { k.Unreachable = true })
		ctx, cancel := timeout(t)
		defer cancel()
		if r := m.Power(ctx); r.Cause != fence.CauseUnreachable {
			t.Errorf("%+v", r)
		}
		bmc.Reset()
		if r := m.Power(t.Context()); r.Power != fence.On {
			t.Errorf("%+v", r)
		}
	})
}

// TestSlowBMC: one that takes 4 s for each answer is proven off within a link's
// budget, once it has been asked before.
func TestSlowBMC(t *testing.T) {
	for takes, proof := range map[time.Duration]bool{time.Second: true, 2 * time.Second: true, 4 * time.Second: true, 6 * time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			bmc, machine, _ := world(t)
			m := method(t, bmc, password, fencetest.SystemPath("1"))
			m.Power(t.Context())
			bmc.Set(func(k *fencetest.Knobs) { k.Delay = takes })
			r := m.Power(t.Context())
			if needs := fence.Needs(r.Ended.Sub(r.Began)); (needs <= fence.DefaultBudget) != proof {
				t.Errorf("%s: preflight says %s", takes, needs)
			}
			began := time.Now()
			_, err := off(t, m)
			if took := time.Since(began); (err == nil) != proof || proof && (machine.On() || took > fence.Needs(takes)+time.Second) {
				t.Errorf("%s: after %s: %v", takes, took, err)
			}
		})
	}
}

// The end of the trust in a BMC's certificate is known after its first answer, where
// there is one that hangs on it.
func TestExpires(t *testing.T) {
	bmc := &fencetest.Redfish{Now: time.Now, Username: "admin", Password: password, Systems: []fencetest.System{{ID: "1", Machine: fencetest.NewMachine(true)}}}
	srv := httptest.NewTLSServer(bmc)
	defer srv.Close()
	leaf := srv.Certificate()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
	for name, tt := range map[string]struct {
		o    redfish.Options
		ends time.Time
	}{
		"by a CA":           {redfish.Options{CA: ca}, leaf.NotAfter},
		"by a pin":          {redfish.Options{Fingerprint: fmt.Sprintf("sha256:%x", sha256.Sum256(leaf.Raw))}, time.Time{}},
		"by nothing":        {redfish.Options{Insecure: true}, time.Time{}},
		"by a pin and a CA": {redfish.Options{CA: ca, Fingerprint: fmt.Sprintf("sha256:%x", sha256.Sum256(leaf.Raw))}, leaf.NotAfter},
	} {
		o := tt.o
		o.Address, o.Username, o.Password, o.Now = srv.URL, "admin", password, time.Now
		m, err := redfish.New(o)
		if err != nil {
			t.Fatal(err)
		}
		if at := m.Expires(); !at.IsZero() {
			t.Errorf("%s: %s before any answer", name, at)
		}
		ctx, cancel := timeout(t)
		if r := m.Power(ctx); r.Power != fence.On {
			t.Errorf("%s: %+v", name, r)
		}
		cancel()
		if at := m.Expires(); !at.Equal(tt.ends) {
			t.Errorf("%s: %s, want %s", name, at, tt.ends)
		}
		m.Close()
	}
}

// Fifty hosts are fenced side by side through BMCs that take 1 to 5 s for each answer:
// in the time of the slowest, with one connection to each and no more.
func TestFiftySlowBMCs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			hosts  = 50
			budget = 25 * time.Second
		)
		var open, most atomic.Int64
		type result struct {
			took time.Duration
			err  error
			off  bool
		}
		results := make(chan result, hosts)
		for i := range hosts {
			machine := fencetest.NewMachine(true)
			bmc := &fencetest.Redfish{Now: time.Now, Username: "admin", Password: password, Systems: []fencetest.System{{ID: "1", Machine: machine}}}
			m, err := redfish.New(redfish.Options{Address: "https://bmc.example", System: fencetest.SystemPath("1"), Username: "admin", Password: password, Now: time.Now,
				Client: &http.Client{Transport: counting{bmc.Transport(), &open, &most}}})
			if err != nil {
				t.Fatal(err)
			}
			m.Power(t.Context())
			bmc.Set(func(k *fencetest.Knobs) { k.Delay = time.Second + time.Duration(i)*4*time.Second/(hosts-1) })
			go func() {
				began := time.Now()
				_, _, err := fence.Chain{Clock: fencetest.Clock{}, Links: []fence.Link{{Method: m, Budget: budget}}}.Off(
					t.Context(), "host", "boot", func(context.Context) error { return nil })
				results <- result{time.Since(began), err, !machine.On()}
			}()
		}
		var worst, sum time.Duration
		for range hosts {
			r := <-results
			if r.err != nil || !r.off {
				t.Errorf("after %s: %v, off %t", r.took, r.err, r.off)
			}
			worst, sum = max(worst, r.took), sum+r.took
		}
		if limit := budget * 12 / 10; worst > limit {
			t.Errorf("the slowest took %s, %s is the limit", worst, limit)
		}
		if most.Load() > hosts {
			t.Errorf("%d requests at once", most.Load())
		}
		t.Logf("%d hosts: all proven off within %s (budget %s), %s on average, at most %d requests at once", hosts, worst, budget, (sum / hosts).Round(time.Millisecond), most.Load())
	})
}

// counting counts the requests that are under way.
type counting struct {
	http.RoundTripper
	open, most *atomic.Int64
}

func (c counting) RoundTrip(req *http.Request) (*http.Response, error) {
	n := c.open.Add(1)
	defer c.open.Add(-1)
	for m := c.most.Load(); n > m; m = c.most.Load() {
		if c.most.CompareAndSwap(m, n) {
			break
		}
	}
	return c.RoundTripper.RoundTrip(req)
}
