package novatest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// hand is a cloud with three hosts, and raw requests to it.
type hand struct {
	*testing.T
	*Cloud
	transport *Transport
	token     string
}

func in(t *testing.T, o Options, f func(h hand)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Now = time.Now
		c := New(o)
		t.Cleanup(c.Close)
		for _, name := range []nova.HostName{"cmp01", "cmp02", "cmp03"} {
			c.AddHost(name)
		}
		h := hand{T: t, Cloud: c, transport: c.Transport()}
		body := `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"` + User + `","password":"` + Password + `","domain":{"name":"Default"}}}}}}`
		resp, _ := h.send("POST", "/identity/v3/auth/tokens", "", body)
		h.token = resp.Header.Get("X-Subject-Token")
		f(h)
	})
}

func (h hand) send(method, path, version, body string) (*http.Response, map[string]json.RawMessage) {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), method, "http://nova.test"+path, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", h.token)
	if version != "" {
		req.Header.Set("OpenStack-API-Version", "compute "+version)
	}
	resp, err := h.transport.RoundTrip(req)
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	var raw bytes.Buffer
	_, _ = raw.ReadFrom(resp.Body)
	var doc map[string]json.RawMessage
	_ = json.Unmarshal(raw.Bytes(), &doc)
	return resp, doc
}

func (h hand) evacuateNow(id nova.ServerID) int {
	resp, doc := h.send("POST", "/compute/v2.1/servers/"+string(id)+"/action", "2.68", `{"evacuate":{}}`)
	if resp.StatusCode == 200 && (doc != nil || resp.ContentLength != 0) {
		h.Errorf("the answer to an evacuation is not empty: %v", doc)
	}
	return resp.StatusCode
}

func (h hand) put(host nova.HostName, body string) int {
	resp, _ := h.send("PUT", "/compute/v2.1/os-services/"+h.mustHost(host).serviceID, "2.53", body)
	return resp.StatusCode
}

func (h hand) dead(host nova.HostName) {
	h.PowerOff(host)
	h.put(host, `{"status":"disabled","forced_down":true}`)
}

func (h hand) statuses(id nova.ServerID) string {
	var all []string
	for _, m := range h.Migrations(id) {
		all = append(all, string(m.Status))
	}
	return strings.Join(all, " ")
}

func TestEvacuationInStages(t *testing.T) {
	in(t, Options{}, func(h hand) {
		id := h.Boot("cmp01", 1)[0]
		h.dead("cmp01")
		if got := h.evacuateNow(id); got != 200 {
			t.Fatal(got)
		}
		begin := time.Now()
		for _, stage := range []struct {
			at             time.Duration
			status         nova.MigrationStatus
			host           nova.HostName
			vmState, task  string
			updated, there bool
		}{
			{0, nova.MigrationAccepted, "cmp01", nova.VMActive, nova.TaskRebuilding, false, false},
			{400 * time.Millisecond, nova.MigrationPreMigrating, "cmp01", nova.VMActive, nova.TaskRebuilding, true, false},
			{1000 * time.Millisecond, nova.MigrationPreMigrating, "cmp01", nova.VMActive, taskMapping, true, false},
			{1500 * time.Millisecond, nova.MigrationPreMigrating, "cmp01", nova.VMActive, taskSpawning, true, false},
			{2400 * time.Millisecond, nova.MigrationPreMigrating, "cmp01", nova.VMActive, "", true, true}, // the trap
			{4000 * time.Millisecond, nova.MigrationDone, "cmp02", nova.VMActive, "", true, true},
		} {
			time.Sleep(time.Until(begin.Add(stage.at)))
			synctest.Wait()
			m, v := h.Migrations(id)[0], h.View(id)
			if m.Status != stage.status || v.Host != stage.host || v.VMState != stage.vmState || v.TaskState != stage.task ||
				m.UpdatedAt.IsZero() == stage.updated || (len(h.Copies()[id]) == 1) != stage.there {
				t.Errorf("after %v: %+v, %+v, runs on %v", stage.at, m, v, h.Copies()[id])
			}
		}
	})
}

// What Nova does not protect: each way of posting twice, and what is left.
func TestPostedTwice(t *testing.T) {
	for name, gap := range map[string]time.Duration{
		"at once": 0, "while scheduling": 200 * time.Millisecond, "while spawning": time.Second, "after the spawn": 3 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			in(t, Options{}, func(h hand) {
				id := h.Boot("cmp01", 1)[0]
				h.dead("cmp01")
				first := h.evacuateNow(id)
				time.Sleep(gap)
				if second := h.evacuateNow(id); first != 200 || second != 200 {
					t.Fatalf("Nova accepts both, got %d and %d", first, second)
				}
				time.Sleep(time.Minute)
				v, rows := h.View(id), h.statuses(id)
				if v.VMState != nova.VMError && len(h.Violations()) == 0 {
					t.Errorf("no harm done? %+v, rows %s", v, rows)
				}
				if name == "at once" && rows != "failed accepted" {
					t.Errorf("rows %s; a real Nova has: failed accepted", rows)
				}
				if n := h.EvacuatePosts(id); n != 2 {
					t.Errorf("%d POSTs counted", n)
				}
			})
		})
	}
}

// The recorder tells a fenced source from one that only looked dead.
func TestViolations(t *testing.T) {
	for name, row := range map[string]struct {
		do   func(h hand)
		want int
	}{
		"powered off":                     {func(h hand) { h.PowerOff("cmp01") }, 0},
		"hung, not fenced":                {func(h hand) { h.Hang("cmp01") }, 1},
		"nova-compute ended, guests live": {func(h hand) { h.KillCompute("cmp01") }, 1},
		"hung, then fenced":               {func(h hand) { h.Hang("cmp01"); h.PowerOff("cmp01") }, 0},
		"off, and on again":               {func(h hand) { h.PowerOff("cmp01"); h.PowerOn("cmp01") }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, Options{}, func(h hand) {
				id := h.Boot("cmp01", 1)[0]
				row.do(h)
				h.put("cmp01", `{"forced_down":true}`)
				h.evacuateNow(id)
				time.Sleep(time.Minute)
				if got := h.Violations(); len(got) != row.want || (row.want == 1 && !strings.Contains(got[0].String(), "cmp01 and cmp02")) {
					t.Errorf("%v", got)
				}
			})
		})
	}
	// With guests that start with their machine, power-on is enough.
	in(t, Options{ResumeGuests: true}, func(h hand) {
		id := h.Boot("cmp01", 1)[0]
		h.dead("cmp01")
		h.evacuateNow(id)
		time.Sleep(time.Minute)
		h.PowerOn("cmp01")
		if got := h.Violations(); len(got) != 1 || got[0].Server != id || got[0].Why != "power on cmp01" {
			t.Errorf("%v", got)
		}
	})
}

// Ways in which an evacuation ends other than done.
func TestEndings(t *testing.T) {
	for name, row := range map[string]struct {
		boot        BootOptions
		before      func(h hand)
		during      func(h hand)
		rows        string
		vmState     string
		task        string
		host        nova.HostName
		destIsNamed bool
	}{
		"done":                    {rows: "done", vmState: nova.VMActive, host: "cmp02", destIsNamed: true},
		"stopped stays stopped":   {boot: BootOptions{VMState: nova.VMStopped}, rows: "done", vmState: nova.VMStopped, host: "cmp02", destIsNamed: true},
		"error comes up active":   {boot: BootOptions{VMState: nova.VMError}, rows: "done", vmState: nova.VMActive, host: "cmp02", destIsNamed: true},
		"no valid host":           {boot: BootOptions{RAMMiB: 1 << 30}, rows: "error", vmState: nova.VMError, host: "cmp01"},
		"claim fails":             {before: func(h hand) { h.FailClaims(1) }, rows: "failed", vmState: nova.VMActive, host: "cmp01"},
		"spawn fails":             {before: func(h hand) { h.FailSpawns(1) }, rows: "failed", vmState: nova.VMError, host: "cmp01", destIsNamed: true},
		"cast lost":               {before: func(h hand) { h.LoseCasts(1) }, rows: "accepted", vmState: nova.VMActive, task: nova.TaskRebuilding, host: "cmp01"},
		"no scheduler":            {before: func(h hand) { h.SetControl(nova.Scheduler, false) }, rows: "accepted", vmState: nova.VMActive, task: nova.TaskRebuilding, host: "cmp01"},
		"no conductor":            {before: func(h hand) { h.SetControl(nova.Conductor, false) }, rows: "accepted", vmState: nova.VMActive, task: nova.TaskRebuilding, host: "cmp01"},
		"conductor comes back":    {before: func(h hand) { h.SetControl(nova.Conductor, false) }, during: func(h hand) { h.SetControl(nova.Conductor, true) }, rows: "done", vmState: nova.VMActive, host: "cmp02", destIsNamed: true},
		"destination dies":        {during: func(h hand) { h.PowerOff("cmp02") }, rows: "pre-migrating", vmState: nova.VMActive, task: taskMapping, host: "cmp01", destIsNamed: true},
		"destination hangs":       {during: func(h hand) { h.Hang("cmp02") }, rows: "pre-migrating", vmState: nova.VMActive, task: taskMapping, host: "cmp01", destIsNamed: true},
		"dead destination chosen": {before: func(h hand) { h.PowerOff("cmp02") }, rows: "accepted", vmState: nova.VMActive, task: nova.TaskRebuilding, host: "cmp01"},
		"deleted meanwhile":       {during: func(h hand) { h.Delete(h.ids()[0]) }, rows: "pre-migrating", host: ""},
		"user deletes meanwhile":  {during: func(h hand) { h.SetTask(h.ids()[0], "deleting") }, rows: "failed", vmState: nova.VMActive, task: "deleting", host: "cmp01", destIsNamed: true},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, Options{}, func(h hand) {
				id := h.Boot("cmp01", 1, row.boot)[0]
				h.dead("cmp01")
				if row.before != nil {
					row.before(h)
				}
				h.evacuateNow(id)
				time.Sleep(time.Second)
				if row.during != nil {
					row.during(h)
				}
				time.Sleep(time.Hour)
				v := h.View(id)
				if h.statuses(id) != row.rows || v.VMState != row.vmState || v.TaskState != row.task || v.Host != row.host {
					t.Errorf("rows %s, %+v", h.statuses(id), v)
				}
				if name != "deleted meanwhile" && (h.Migrations(id)[0].Dest != "") != row.destIsNamed {
					t.Errorf("destination %q", h.Migrations(id)[0].Dest)
				}
				if len(h.Violations()) != 0 {
					t.Error(h.Violations())
				}
			})
		})
	}
}

func (h hand) ids() []nova.ServerID {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []nova.ServerID
	for _, s := range h.servers {
		all = append(all, nova.ServerID(s.id))
	}
	return all
}

// TestOthers: what is done beside Lifeboat is done to the row and to the guest.
func TestOthers(t *testing.T) {
	c := New(Options{Now: time.Now})
	defer c.Close()
	c.AddHost("a")
	c.AddHost("b")
	ids := c.Boot("a", 3)
	c.SetState(ids[0], nova.VMStopped)
	c.Lock(ids[1])
	c.Unlaunch(ids[2])
	if n := len(c.Copies()); n != 1 {
		t.Errorf("%d guests run, 1 was left", n)
	}
	if v := c.View(ids[0]); v.VMState != nova.VMStopped || v.Power != nova.PowerShutdown {
		t.Errorf("stopped by its owner: %+v", v)
	}
	if !c.View(ids[1]).Locked {
		t.Error("it is not locked")
	}
	if got := c.EvacuateByOther(ids[1]); got != 400 {
		t.Errorf("evacuated from a host that is up: %d", got)
	}
	c.SetService("a", true, "a DIMM", true)
	if got := c.EvacuateByOther(ids[1]); got != 200 || len(c.Migrations(ids[1])) != 1 || c.EvacuatePosts(ids[1]) != 0 {
		t.Errorf("from one that is forced down: %d, %v", got, c.Migrations(ids[1]))
	}
	if got := c.EvacuateByOther(ids[2]); got != 409 {
		t.Errorf("it never booted: %d", got)
	}
	if s := c.Service("a"); s != (Service{Disabled: true, ForcedDown: true, Reason: "a DIMM"}) {
		t.Errorf("its service is %+v", s)
	}
	c.SetRoom("b", 1)
	if c.schedule(c.server(string(ids[1])), "") != nil {
		t.Error("scheduled to a host without room")
	}
}
