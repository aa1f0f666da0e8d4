package rest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// evacuated is a host that died and whose servers live elsewhere.
func (w world) evacuated() (servers []nova.ServerID, providers []string) {
	w.Helper()
	servers = w.cloud.Boot("cmp01", 2)
	w.kill("cmp01")
	for _, id := range servers {
		if _, err := w.client.Evacuate(w.Context(), id, nova.Target{}); err != nil {
			w.Fatal(err)
		}
	}
	time.Sleep(time.Minute)
	providers, err := w.client.Providers(w.Context(), "cmp01")
	if err != nil || len(providers) != 1 {
		w.Fatal(providers, err)
	}
	return servers, providers
}

func (w world) claims(host nova.HostName) []nova.ServerID {
	w.Helper()
	ids, err := w.client.Claims(w.Context(), host)
	if err != nil {
		w.Fatal(err)
	}
	return ids
}

// A source's part is taken off its former servers' allocations, nothing else is; what
// somebody changes in between is read again; the last allocation is never taken.
func TestRelease(t *testing.T) {
	conflict := novatest.Fault{Match: "PUT /placement/allocations", Status: http.StatusConflict}
	for name, c := range map[string]struct {
		times, puts int
		fault       nova.Fault
	}{"at once": {0, 1, ""}, "changed in between": {2, 3, ""}, "changed for ever": {9, 3, nova.FaultConflict}} {
		in(t, novatest.Options{}, func(w world) {
			servers, providers := w.evacuated()
			elsewhere := w.cloud.View(servers[0]).Host
			if !slices.Equal(w.claims("cmp01"), servers) {
				t.Fatalf("%s: %v", name, w.claims("cmp01"))
			}
			if c.times > 0 {
				f := conflict
				f.Times = c.times
				w.cloud.Inject(f)
			}
			err := w.client.Release(w.Context(), servers[0], providers)
			if nova.FaultOf(err) != c.fault {
				t.Fatalf("%s: %v", name, err)
			}
			puts := 0
			for _, r := range w.cloud.Requests() {
				if r.Method == http.MethodPut && strings.HasPrefix(r.Path, "/allocations/") {
					puts++
				}
			}
			if freed := !slices.Contains(w.claims("cmp01"), servers[0]); puts != c.puts || freed != (err == nil) || !slices.Contains(w.claims(elsewhere), servers[0]) {
				t.Errorf("%s: %d writes, freed %t, %v", name, puts, freed, err)
			}
		})
	}
	in(t, novatest.Options{}, func(w world) {
		id := w.cloud.Boot("cmp02", 1)[0]
		providers, _ := w.client.Providers(w.Context(), "cmp02")
		wantFault(t, w.client.Release(w.Context(), id, providers), nova.FaultRefused)
		wantFault(t, w.client.Release(w.Context(), id, nil), nova.FaultRefused)
		if err := w.client.Release(w.Context(), id, []string{"another"}); err != nil {
			t.Errorf("nothing to take away: %v", err)
		}
	})
}

// A service is deleted when its host is empty; its provider goes with it once nothing is
// allocated there.
func TestDeleteService(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		inUse, _ := w.client.Service(w.Context(), "cmp02")
		w.cloud.Boot("cmp02", 1)
		wantFault(t, w.client.DeleteService(w.Context(), inUse.ID), nova.FaultConflict)
		servers, providers := w.evacuated()
		svc, _ := w.client.Service(w.Context(), "cmp01")
		wantFault(t, w.client.DeleteProvider(w.Context(), providers[0]), nova.FaultConflict)
		for _, id := range servers[:1] {
			if err := w.client.Release(w.Context(), id, providers); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.client.DeleteService(w.Context(), svc.ID); err != nil {
			t.Fatal(err)
		}
		_, err := w.client.Service(w.Context(), "cmp01")
		wantFault(t, err, nova.FaultNotFound)
		wantFault(t, w.client.DeleteService(w.Context(), svc.ID), nova.FaultNotFound)
		wantFault(t, w.client.DeleteProvider(w.Context(), providers[0]), nova.FaultConflict)
		if err := w.client.Release(w.Context(), servers[1], providers); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second finds it gone
			if err := w.client.DeleteProvider(w.Context(), providers[0]); err != nil {
				t.Fatal(err)
			}
		}
		if ids := w.claims("cmp01"); len(ids) != 0 {
			t.Errorf("a host without a provider gives room to %v", ids)
		}
	})
}

// A host joins an aggregate and leaves it; Nova keeps it in one zone.
func TestAggregateMembers(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		w.cloud.SetAggregates(nova.Aggregate{Name: "a", Zone: "az1", Hosts: []nova.HostName{"cmp01"}}, nova.Aggregate{Name: "b", Zone: "az2"}, nova.Aggregate{Name: "c"})
		for _, id := range []int{1, 3} {
			if err := w.client.JoinAggregate(w.Context(), id, "cmp02"); err != nil {
				t.Fatal(err)
			}
		}
		wantFault(t, w.client.JoinAggregate(w.Context(), 3, "cmp02"), nova.FaultConflict)
		wantFault(t, w.client.JoinAggregate(w.Context(), 2, "cmp02"), nova.FaultConflict)
		wantFault(t, w.client.JoinAggregate(w.Context(), 9, "cmp02"), nova.FaultNotFound)
		wantFault(t, w.client.JoinAggregate(w.Context(), 0, "cmp02"), nova.FaultRefused)
		list, err := w.client.Aggregates(w.Context())
		svc, _ := w.client.Service(w.Context(), "cmp02")
		if err != nil || list[0].ID != 1 || !slices.Contains(list[0].Hosts, "cmp02") || !slices.Contains(list[2].Hosts, "cmp02") || svc.Zone != "az1" {
			t.Errorf("%+v, %v, zone %s", list, err, svc.Zone)
		}
		if err := w.client.LeaveAggregate(w.Context(), 1, "cmp02"); err != nil {
			t.Fatal(err)
		}
		wantFault(t, w.client.LeaveAggregate(w.Context(), 1, "cmp02"), nova.FaultNotFound)
	})
}
