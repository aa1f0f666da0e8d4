package novatest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// A hung destination continues; a dead one finds the message when it starts.
func TestLateDestinations(t *testing.T) {
	in(t, Options{}, func(h hand) {
		ids := h.Boot("cmp01", 2)
		h.dead("cmp01")
		h.put("cmp03", `{"status":"disabled"}`)
		h.evacuateNow(ids[0])
		time.Sleep(time.Second)
		h.Hang("cmp02")
		h.evacuateNow(ids[1])
		time.Sleep(30 * time.Second)
		h.Unhang("cmp02")
		time.Sleep(30 * time.Second)
		if h.statuses(ids[0]) != "done" || h.statuses(ids[1]) != "done" {
			t.Errorf("rows %s, %s", h.statuses(ids[0]), h.statuses(ids[1]))
		}
	})
	in(t, Options{}, func(h hand) {
		id := h.Boot("cmp01", 1)[0]
		h.dead("cmp01")
		h.put("cmp03", `{"status":"disabled"}`)
		h.PowerOff("cmp02")
		h.evacuateNow(id)
		time.Sleep(time.Minute)
		h.PowerOn("cmp02")
		h.RestartCompute("cmp02")
		time.Sleep(time.Minute)
		if h.statuses(id) != "done" || h.View(id).Host != "cmp02" {
			t.Errorf("rows %s, %+v", h.statuses(id), h.View(id))
		}
	})
}

// The return of the source: rows, un-forcing, leftovers.
func TestSourceReturns(t *testing.T) {
	in(t, Options{}, func(h hand) {
		ids := h.Boot("cmp01", 3)
		h.dead("cmp01")
		h.evacuateNow(ids[0])
		time.Sleep(time.Minute)
		h.LoseCasts(1)
		h.evacuateNow(ids[1])
		if got := h.put("cmp01", `{"forced_down":false}`); got != 400 {
			t.Errorf("un-forced with a done row: %d", got)
		}
		h.PowerOn("cmp01")
		h.RestartCompute("cmp01")
		if h.statuses(ids[0]) != "completed" || h.statuses(ids[1]) != "completed" {
			t.Errorf("rows %s, %s", h.statuses(ids[0]), h.statuses(ids[1]))
		}
		// Never executed, and yet completed; its guest and disk are gone.
		if v := h.View(ids[1]); v.Host != "cmp01" || v.TaskState != nova.TaskRebuilding || !v.DiskLost {
			t.Errorf("the stuck one: %+v", v)
		}
		if got := h.put("cmp01", `{"forced_down":false}`); got != 200 {
			t.Errorf("un-forced: %d", got)
		}
		time.Sleep(11 * time.Minute)
		if v := h.View(ids[2]); v.VMState != nova.VMStopped {
			t.Errorf("left behind and not running: %+v", v)
		}
	})
}

// Two rows of one server need two starts of nova-compute; after the first the
// host cannot be un-forced, or carries a row that destroys the server later.
func TestTwoRowsTwoRestarts(t *testing.T) {
	for _, row := range []struct{ first, second, after1 nova.MigrationStatus }{
		{nova.MigrationDone, nova.MigrationAccepted, nova.MigrationDone},
		{nova.MigrationAccepted, nova.MigrationDone, nova.MigrationAccepted},
	} {
		in(t, Options{}, func(h hand) {
			id := h.Boot("cmp02", 1)[0]
			h.AddMigration(nova.Migration{Server: id, Status: row.first, Source: "cmp01"})
			h.AddMigration(nova.Migration{Server: id, Status: row.second, Source: "cmp01"})
			h.RestartCompute("cmp01")
			if got := h.statuses(id); got != string(row.after1)+" completed" {
				t.Errorf("after one start: %s", got)
			}
			if got := h.put("cmp01", `{"forced_down":false}`); (got == 400) != (row.after1 == nova.MigrationDone) {
				t.Errorf("un-forced: %d", got)
			}
			h.RestartCompute("cmp01")
			if got := h.statuses(id); got != "completed completed" {
				t.Errorf("after two: %s", got)
			}
		})
	}
}

// After a lost cast the second attempt finishes the first one's row, and its own
// stays accepted for ever.
func TestSecondAttemptFinishesTheFirstRow(t *testing.T) {
	in(t, Options{TokenLife: 24 * time.Hour}, func(h hand) {
		id := h.Boot("cmp01", 1)[0]
		h.dead("cmp01")
		h.LoseCasts(1)
		h.evacuateNow(id)
		time.Sleep(time.Hour)
		h.evacuateNow(id)
		time.Sleep(time.Hour)
		if v := h.View(id); h.statuses(id) != "done accepted" || v.Host != "cmp02" || v.VMState != nova.VMActive {
			t.Errorf("rows %s, %+v", h.statuses(id), v)
		}
		h.PowerOn("cmp01")
		h.RestartCompute("cmp01")
		if got := h.put("cmp01", `{"forced_down":false}`); got != 400 || h.statuses(id) != "done completed" {
			t.Errorf("after one start: %d, rows %s", got, h.statuses(id))
		}
		h.RestartCompute("cmp01")
		if got := h.put("cmp01", `{"forced_down":false}`); got != 200 || len(h.Violations()) != 0 {
			t.Errorf("after two: %d, rows %s", got, h.statuses(id))
		}
	})
}

func TestScheduling(t *testing.T) {
	in(t, Options{}, func(h hand) {
		h.AddHost("zoned", HostOptions{Zone: "az2", RAMMiB: 1 << 20})
		h.AddHost("far", HostOptions{Cell: "cell2", RAMMiB: 1 << 20})
		anti, together := h.AddGroup("anti", nova.PolicyAntiAffinity), h.AddGroup("pair", nova.PolicyAffinity)
		pinned := h.Boot("cmp01", 1, BootOptions{PinnedZone: true})[0]
		a := h.Boot("cmp01", 2, BootOptions{Group: anti, PinnedZone: true})
		h.Boot("cmp02", 1, BootOptions{Group: anti})
		pair := h.Boot("cmp01", 2, BootOptions{Group: together})
		h.dead("cmp01")
		for _, id := range append([]nova.ServerID{pinned}, pair...) {
			h.evacuateNow(id)
			time.Sleep(time.Minute)
		}
		if v := h.View(pinned); v.Host != "cmp03" {
			t.Errorf("pinned to its zone: %+v", v)
		}
		for _, id := range pair {
			if v := h.View(id); v.VMState != nova.VMError || !strings.Contains(v.Fault, "No valid host") {
				t.Errorf("hard affinity with the dead host: %+v", v)
			}
		}
		// Both fit on cmp03 only; in parallel both are sent there.
		h.evacuateNow(a[0])
		h.evacuateNow(a[1])
		time.Sleep(time.Minute)
		got := []string{h.statuses(a[0]), h.statuses(a[1])}
		slices.Sort(got)
		if !slices.Equal(got, []string{"done", "failed"}) {
			t.Errorf("anti-affinity in parallel: %v", got)
		}
	})
}

func TestFreshlyDeadHostsAreChosen(t *testing.T) {
	in(t, Options{}, func(h hand) {
		id := h.Boot("cmp01", 1)[0]
		h.dead("cmp01")
		h.PowerOff("cmp02")
		h.PowerOff("cmp03")
		h.evacuateNow(id)
		time.Sleep(2 * time.Minute)
		h.evacuateNow(id)
		time.Sleep(time.Minute)
		if got := h.statuses(id); got != "error accepted" && got != "accepted error" {
			// The second finds no host; it takes the first accepted row.
			t.Errorf("rows %s", got)
		}
	})
}

func TestBodiesRefused(t *testing.T) {
	in(t, Options{}, func(h hand) {
		id := h.Boot("cmp01", 1)[0]
		h.dead("cmp01")
		for _, row := range []struct{ version, body string }{
			{"2.68", `{"evacuate":{"onSharedStorage":true}}`},
			{"2.68", `{"evacuate":{"force":true}}`},
			{"2.68", `{"evacuate":null}`},
			{"2.13", `{"evacuate":{}}`},
			{"2.68", `{"evacuate":{},"os-start":null}`},
			{"2.68", `{}`},
			{"2.68", `nonsense`},
		} {
			if resp, _ := h.send("POST", "/compute/v2.1/servers/"+string(id)+"/action", row.version, row.body); resp.StatusCode != 400 {
				t.Errorf("%s %s: %d", row.version, row.body, resp.StatusCode)
			}
		}
		for _, body := range []string{`{}`, `{"status":"on"}`, `{"disabled_reason":"x"}`, `{"forced_down":true,"x":1}`, `{"status":"enabled","disabled_reason":"x"}`, `{"status":"disabled","disabled_reason":""}`} {
			if got := h.put("cmp01", body); got != 400 {
				t.Errorf("%s: %d", body, got)
			}
		}
		if resp, _ := h.send("GET", "/compute/v2.1/os-migrations?source=cmp01", "2.80", ""); resp.StatusCode != 400 {
			t.Errorf("unknown filter: %d", resp.StatusCode)
		}
		if resp, _ := h.send("GET", "/compute/v2.1/os-services", "2.94", ""); resp.StatusCode != 406 {
			t.Errorf("too new: %d", resp.StatusCode)
		}
		h.token = "nonsense"
		if resp, _ := h.send("GET", "/compute/v2.1/os-services", "2.53", ""); resp.StatusCode != 401 {
			t.Errorf("bad token: %d", resp.StatusCode)
		}
	})
}

// changes-since does not see the rows that matter.
func TestChangesSince(t *testing.T) {
	in(t, Options{}, func(h hand) {
		id := h.Boot("cmp01", 1)[0]
		h.dead("cmp01")
		h.LoseCasts(1)
		h.evacuateNow(id)
		_, doc := h.send("GET", "/compute/v2.1/os-migrations?changes-since=1999-01-01T00:00:00Z", "2.80", "")
		if string(doc["migrations"]) != "[]" {
			t.Errorf("%s", doc["migrations"])
		}
	})
}

// Every goroutine ends with the cloud: synctest fails the test otherwise.
func TestCloseLetsGo(t *testing.T) {
	in(t, Options{}, func(h hand) {
		id := h.Boot("cmp01", 1)[0]
		h.dead("cmp01")
		h.Inject(Fault{Match: "/action", Hang: true, After: true})
		go func() {
			req, _ := http.NewRequestWithContext(h.Context(), "POST", "http://nova.test/compute/v2.1/servers/"+string(id)+"/action", strings.NewReader(`{"evacuate":{}}`))
			req.Header.Set("X-Auth-Token", h.token)
			if _, err := h.transport.RoundTrip(req); err == nil {
				t.Error("answered")
			}
		}()
		synctest.Wait()
		h.Close()
		h.Close()
	})
}
