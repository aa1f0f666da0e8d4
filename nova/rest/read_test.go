package rest

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// Nova's `down` is a belief. Each row is a way in which it is formed.
func TestServiceStates(t *testing.T) {
	for name, row := range map[string]struct {
		do   func(w world)
		want nova.ServiceState
	}{
		"healthy":                {func(world) {}, nova.StateUp},
		"dead for a moment":      {func(w world) { w.cloud.PowerOff("cmp01"); time.Sleep(59 * time.Second) }, nova.StateUp},
		"dead for over a minute": {func(w world) { w.cloud.PowerOff("cmp01"); time.Sleep(61 * time.Second) }, nova.StateDown},
		"hung":                   {func(w world) { w.cloud.Hang("cmp01"); time.Sleep(61 * time.Second) }, nova.StateDown},
		"nova-compute ended":     {func(w world) { w.cloud.KillCompute("cmp01"); time.Sleep(61 * time.Second) }, nova.StateDown},
		"broker outage":          {func(w world) { w.cloud.SetBroker(false); time.Sleep(61 * time.Second) }, nova.StateDown},
		"API clock ahead":        {func(w world) { w.cloud.SetSkew(61 * time.Second) }, nova.StateDown},
		"API clock behind":       {func(w world) { w.cloud.SetSkew(-61 * time.Second) }, nova.StateDown},
		"forced down, reporting": {func(w world) { w.update("cmp01", nova.ServiceUpdate{ForcedDown: new(true)}) }, nova.StateDown},
		"cell unreachable":       {func(w world) { w.cloud.SetCell("cell1", false) }, nova.StateUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, novatest.Options{}, func(w world) {
				row.do(w)
				list, apiNow, err := w.client.Services(w.Context())
				if err != nil || len(list) != 3 || list[0].State != row.want {
					t.Errorf("services %+v, %v", list, err)
				}
				if one, err := w.client.Service(w.Context(), "cmp01"); err != nil || one.State != row.want {
					t.Errorf("service %+v, %v", one, err)
				}
				if skew := time.Until(apiNow); name == "API clock ahead" && skew < time.Minute {
					t.Errorf("the API's clock is not shown: %v", skew)
				}
			})
		})
	}
}

func TestControlServices(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		for _, row := range []struct {
			do   func()
			want bool
		}{
			{func() {}, true},
			{func() { w.cloud.SetControl(nova.Conductor, false) }, false},
			{func() { w.cloud.SetControl(nova.Conductor, true) }, true},
			{func() { w.cloud.SetControl(nova.Scheduler, false) }, false},
			{func() { w.cloud.SetControl(nova.Scheduler, true); w.cloud.SetBroker(false) }, false},
		} {
			row.do()
			control, err := w.client.ControlServices(w.Context())
			if err != nil || len(control) != 2 || control.CanSchedule() != row.want {
				t.Errorf("%+v, %v; want %v", control, err, row.want)
			}
		}
	})
}

// Lists are paged by marker, however small Nova caps a page; the address in
// the link is never used.
func TestServersPaged(t *testing.T) {
	for _, limit := range []int{1000, 100, 7} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			in(t, novatest.Options{MaxLimit: limit}, func(w world) {
				n := 1500
				if limit == 7 {
					n = 70 // a multiple: the last full page has a link to an empty one
				}
				want := w.cloud.Boot("cmp01", n)
				w.cloud.Boot("cmp02", 3)
				list, err := w.client.Servers(w.Context(), "cmp01")
				if err != nil || len(list) != n {
					t.Fatalf("%d servers, %v", len(list), err)
				}
				all, err := w.client.AllServersByHost(w.Context())
				if err != nil || len(all["cmp01"]) != n || len(all["cmp02"]) != 3 || all["cmp03"] == nil || len(all["cmp03"]) != 0 {
					t.Errorf("by host: %d %d %v, %v", len(all["cmp01"]), len(all["cmp02"]), all["cmp03"], err)
				}
				if !slices.Contains(all["cmp01"], want[0]) {
					t.Error("the oldest is missing")
				}
			})
		})
	}
}

// A list that is not the host's is refused, never returned.
func TestServersNotTrusted(t *testing.T) {
	for name, row := range map[string]struct {
		do   func(w world)
		want nova.Fault
		text string
	}{
		"filter dropped":                {func(w world) { w.cloud.SetPolicy(novatest.Policy{DropHostFilter: true}) }, nova.FaultRefused, "filter dropped: the account lacks"},
		"hosts hidden":                  {func(w world) { w.cloud.SetPolicy(novatest.Policy{HideHosts: true}) }, nova.FaultRefused, "filter dropped: the account lacks"},
		"no administrator":              {func(w world) { w.cloud.SetPolicy(novatest.Policy{Forbid: true}) }, nova.FaultRefused, "Policy doesn't allow"},
		"cell down: empty is not empty": {func(w world) { w.cloud.SetCell("cell1", false) }, nova.FaultUnknown, "cell of this host cannot be reached"},
		"garbage":                       {func(w world) { w.cloud.Inject(novatest.Fault{Match: "/servers/detail", Status: 200}) }, nova.FaultUnknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, novatest.Options{}, func(w world) {
				w.cloud.Boot("cmp01", 2)
				w.cloud.Boot("cmp02", 2)
				row.do(w)
				list, err := w.client.Servers(w.Context(), "cmp01")
				wantFault(t, err, row.want, row.text)
				if len(list) != 0 {
					t.Errorf("returned %v", list)
				}
			})
		})
	}
}

// The filter may be dropped for a host that has no servers too: the rows of
// others are then all there is.
func TestServersOfEmptyHost(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		w.cloud.Boot("cmp02", 1)
		if list, err := w.client.Servers(w.Context(), "cmp01"); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
		_, err := w.client.Servers(w.Context(), "cmp1")
		wantFault(t, err, nova.FaultNotFound) // a wrong name is no empty host
		_, err = w.client.Servers(w.Context(), "")
		wantFault(t, err, nova.FaultRefused)
		w.cloud.SetPolicy(novatest.Policy{DropHostFilter: true})
		_, err = w.client.Servers(w.Context(), "cmp01")
		wantFault(t, err, nova.FaultRefused)
	})
}

func TestAllServersHidden(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		w.cloud.Boot("cmp01", 1)
		w.cloud.SetPolicy(novatest.Policy{HideHosts: true})
		_, err := w.client.AllServersByHost(w.Context())
		wantFault(t, err, nova.FaultRefused, "hosts hidden")
		w.cloud.SetPolicy(novatest.Policy{})
		w.cloud.AddHost("far01", novatest.HostOptions{Cell: "cell2"})
		w.cloud.SetCell("cell2", false)
		all, err := w.client.AllServersByHost(w.Context())
		if _, known := all["far01"]; err != nil || known || len(all["cmp01"]) != 1 {
			t.Errorf("a host of a lost cell must be missing: %v, %v", all, err)
		}
	})
}

// A server that marked a page may be deleted before the next is asked for.
func TestMarkerDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cloud *novatest.Cloud
		var marker nova.ServerID
		deleteOnce := func(o *Options) {
			inner := o.Transport
			o.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if m := r.URL.Query().Get("marker"); m != "" && marker == "" {
					marker = nova.ServerID(m)
					cloud.Delete(marker)
				}
				return inner.RoundTrip(r)
			})
		}
		var client *Client
		cloud, client = connected(t, novatest.Options{MaxLimit: 10}, deleteOnce)
		cloud.AddHost("cmp01")
		cloud.Boot("cmp01", 35)
		list, err := client.Servers(t.Context(), "cmp01")
		if err != nil || len(list) != 34 || marker == "" {
			t.Errorf("%d servers, %v; deleted %s", len(list), err, marker)
		}
	})
}

func TestServerRead(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		g := w.cloud.AddGroup("db", nova.PolicyAntiAffinity)
		id := w.cloud.Boot("cmp01", 1, novatest.BootOptions{
			Name: "db-1", Project: "acme", FromVolume: true, Volumes: 2, Locked: true, RAMMiB: 4096, VCPUs: 4, Group: g,
			Metadata: map[string]string{"lifeboat:priority": "high"}, VMState: nova.VMStopped, Floating: "203.0.113.7",
		})[0]
		want := nova.Server{
			ID: id, Name: "db-1", Project: "acme", Host: "cmp01", Node: "cmp01", Zone: "nova", Status: "SHUTOFF",
			VMState: nova.VMStopped, PowerState: nova.PowerShutdown, LaunchedAt: time.Now().UTC(), Locked: true,
			VolumeBooted: true, Volumes: 2, VolumeIDs: []string{"70000000-0000-4000-8000-000000000100", "70000000-0000-4000-8000-000000000101"}, MACs: []string{"fa:16:3e:00:00:01"},
			RAMMiB: 4096, VCPUs: 4, Flavor: "m1",
			Metadata: map[string]string{"lifeboat:priority": "high"}, Groups: []string{g},
			Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("192.168.0.2")},
		}
		one, err := w.client.Server(w.Context(), id)
		if err != nil || fmt.Sprintf("%+v", one) != fmt.Sprintf("%+v", want) {
			t.Errorf("alone\n%+v, %v; want\n%+v", one, err, want)
		}
		want.Apart = []string{g} // what a group asks for stands in the list of groups alone
		list, err := w.client.Servers(w.Context(), "cmp01")
		if err != nil || len(list) != 1 || fmt.Sprintf("%+v", list[0]) != fmt.Sprintf("%+v", want) {
			t.Errorf("listed\n%+v, %v; want\n%+v", list, err, want)
		}
		imaged := w.cloud.Boot("cmp02", 1, novatest.BootOptions{NoLaunch: true, VMState: nova.VMError})[0]
		if one, err := w.client.Server(w.Context(), imaged); err != nil || one.VolumeBooted || one.Image == "" || !one.LaunchedAt.IsZero() {
			t.Errorf("image-backed, never launched: %+v, %v", one, err)
		}
		w.cloud.SetPolicy(novatest.Policy{HideHosts: true})
		_, err = w.client.Server(w.Context(), id)
		wantFault(t, err, nova.FaultRefused, "host hidden")
		w.cloud.SetPolicy(novatest.Policy{})
		w.cloud.SetCell("cell1", false)
		_, err = w.client.Server(w.Context(), id)
		wantFault(t, err, nova.FaultUnknown, "cell of this server")
	})
}

// Groups are a hint: losing them must cost a recovery neither its list nor
// more than a few seconds.
func TestGroupsAreAHint(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		g := w.cloud.AddGroup("web", nova.PolicySoftAntiAffinity)
		id := w.cloud.Boot("cmp01", 1, novatest.BootOptions{Group: g})[0]
		w.cloud.Inject(novatest.Fault{Match: "os-server-groups", Hang: true})
		began := time.Now()
		list, err := w.client.Servers(w.Context(), "cmp01")
		if err != nil || len(list) != 1 || time.Since(began) > groupsPatience {
			t.Errorf("%v, %v after %v", list, err, time.Since(began))
		}
		w.cloud.Heal()
		if list, err = w.client.Servers(w.Context(), "cmp01"); err != nil || !slices.Equal(list[0].Groups, []string{g}) {
			t.Errorf("%+v, %v", list, err)
		}
		groups, err := w.client.ServerGroups(w.Context())
		if err != nil || len(groups) != 1 || groups[0].Policy != nova.PolicySoftAntiAffinity || groups[0].Members[0] != id {
			t.Errorf("%+v, %v", groups, err)
		}
		w.cloud.Inject(novatest.Fault{Match: "os-server-groups", Status: 500})
		time.Sleep(groupsFresh + time.Second)
		if list, err = w.client.Servers(w.Context(), "cmp01"); err != nil || !slices.Equal(list[0].Groups, []string{g}) {
			t.Errorf("the last known groups are lost: %+v, %v", list, err)
		}
	})
}

// The row that matters most is the one that changes-since would hide: just
// written by the API, or stuck for ever, updated_at null.
func TestEvacuationsSeeFreshRows(t *testing.T) {
	in(t, novatest.Options{MaxLimit: 10}, func(w world) {
		w.cloud.LoseCasts(1)
		ids := w.cloud.Boot("cmp01", 25)
		w.kill("cmp01")
		for _, id := range ids {
			if _, err := w.client.Evacuate(w.Context(), id, nova.Target{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		rows, err := w.client.Evacuations(w.Context(), "cmp01")
		if err != nil || len(rows) != 25 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		if m := rows[0]; m.Server != ids[0] || m.Status != nova.MigrationAccepted || m.Dest != "" || !m.UpdatedAt.IsZero() {
			t.Errorf("the stuck row: %+v", m)
		}
		if m := rows[24]; m.Server != ids[24] || m.Status != nova.MigrationDone || m.Dest == "" || m.UpdatedAt.IsZero() {
			t.Errorf("the newest row: %+v", m)
		}
		for _, line := range seen(w.cloud, "os-migrations") {
			if strings.Contains(line, "changes-since") {
				t.Errorf("sent %s", line)
			}
		}
		w.cloud.SetPolicy(novatest.Policy{HideHosts: true})
		_, err = w.client.Evacuations(w.Context(), "cmp01")
		wantFault(t, err, nova.FaultRefused, "hosts hidden")
		_, err = w.client.Evacuations(w.Context(), "")
		wantFault(t, err, nova.FaultRefused)
	})
}

func TestLiveMigrations(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		id := w.cloud.Boot("cmp01", 1, novatest.BootOptions{TaskState: nova.TaskMigrating})[0]
		w.cloud.AddMigration(nova.Migration{Server: id, Type: "live-migration", Status: "running", Source: "cmp01", Dest: "cmp02"})
		live, err := w.client.LiveMigrations(w.Context(), "cmp01")
		if err != nil || len(live) != 1 || live[0].Dest != "cmp02" || live[0].Status != "running" {
			t.Errorf("%+v, %v", live, err)
		}
		if none, err := w.client.Evacuations(w.Context(), "cmp01"); err != nil || len(none) != 0 {
			t.Errorf("%+v, %v", none, err)
		}
	})
}

// Nova before 2.59 neither pages migrations nor gives them a UUID.
func TestOldestNova(t *testing.T) {
	in(t, novatest.Options{Version: "2.53", MaxLimit: 10}, func(w world) {
		ids := w.cloud.Boot("cmp01", 25)
		w.kill("cmp01")
		for _, id := range ids {
			if _, err := w.client.Evacuate(w.Context(), id, nova.Target{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		rows, err := w.client.Evacuations(w.Context(), "cmp01")
		if err != nil || len(rows) != 25 || rows[24].Status != nova.MigrationDone {
			t.Errorf("%d rows, %v", len(rows), err)
		}
		actions, err := w.client.Actions(w.Context(), ids[0])
		if err != nil || len(actions) != 1 || actions[0].Action != "evacuate" {
			t.Errorf("%+v, %v", actions, err)
		}
	})
}
