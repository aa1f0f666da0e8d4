package evacuate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// stocked is a cloud of hosts of 8 GiB with so many instances of 1 GiB each.
func stocked(loads ...int) *World {
	w := &World{Now: t0, Verdicts: map[nova.HostName]detector.Verdict{}, Servers: map[nova.HostName][]nova.Server{}, Storage: map[nova.HostName]Storage{}, Domains: map[nova.HostName][]Domain{},
		Rooms: RoomSight{At: t0, By: map[nova.HostName]nova.Room{}}, Nova: NovaSight{Services: map[nova.HostName]nova.Service{}}}
	for i, n := range loads {
		host := nova.HostName(fmt.Sprintf("cmp%d", i+1))
		w.Nova.Services[host] = nova.Service{Host: host, State: nova.StateUp}
		w.Rooms.By[host] = nova.Room{Left: nova.Size{VCPUs: 100, RAMMiB: (8 - n) << 10, DiskGiB: 100}}
		w.Domains[host] = []Domain{{Kind: "rack", Name: fmt.Sprintf("r%d", i/2+1)}}
		for j := range n {
			w.Servers[host] = append(w.Servers[host], nova.Server{ID: nova.ServerID(fmt.Sprintf("%s-%d", host, j)), Host: host, VMState: nova.VMActive, LaunchedAt: t0, VolumeBooted: true, VCPUs: 1, RAMMiB: 1024})
		}
	}
	return w
}

func TestSpareOf(t *testing.T) {
	for name, tt := range map[string]struct {
		loads  []int
		change func(w *World)
		want   string
	}{
		"empty":                      {[]int{0, 0, 0}, nil, "room for the failure of 2 more"},
		"half full":                  {[]int{4, 4, 4, 4}, nil, "room for the failure of 2 more; after that cmp3 would leave 8 instances behind"},
		"none":                       {[]int{8, 8, 1}, nil, "room for the failure of 0 more; after that cmp1 would leave 1 instances behind; not for a whole rack r1"},
		"N+1":                        {[]int{6, 6, 6, 6}, nil, "room for the failure of 1 more; after that cmp2 would leave 8 instances behind; not for a whole rack r1, rack r2"},
		"by the size of each":        {[]int{4, 4, 4}, func(w *World) { w.Servers["cmp1"] = w.Servers["cmp1"][:1]; w.Servers["cmp1"][0].RAMMiB = 4097 }, "room for the failure of 0 more; after that cmp1 would leave 1 instances behind"},
		"a disabled host is no room": {[]int{4, 4, 4}, func(w *World) { w.Nova.Services["cmp3"] = nova.Service{State: nova.StateUp, Disabled: true} }, "room for the failure of 1 more"},
		"a reserved host is room": {[]int{4, 4, 0}, func(w *World) {
			w.Nova.Services["cmp3"] = nova.Service{State: nova.StateUp, Disabled: true, DisabledReason: "reserved"}
			w.Reserved = []nova.HostName{"cmp3"}
		}, "room for the failure of 2 more"},
		"a dead host counts for nothing": {[]int{4, 4, 8}, func(w *World) { w.Nova.Services["cmp3"] = nova.Service{State: nova.StateDown} }, "room for the failure of 1 more"},
		"what stays takes no room":       {[]int{8, 8, 1}, func(w *World) { w.Servers["cmp1"][0].VMState = nova.VMPaused }, "after that cmp2"},
		"a look of long ago":             {[]int{0, 0}, func(w *World) { w.Rooms.At = t0.Add(-time.Hour) }, "not known"},
	} {
		w := stocked(tt.loads...)
		if tt.change != nil {
			tt.change(w)
		}
		if got := SpareOf(w, DefaultPolicy()).Text(); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestCapacityOf(t *testing.T) {
	w := stocked(6, 7, 6)
	if got := CapacityOf(w, DefaultPolicy(), "cmp1"); got != (Capacity{Known: true, Fits: 3, Of: 6, Reason: "Placement has no room left for 3"}) {
		t.Errorf("%+v", got)
	}
	w.Rooms.By["cmp3"] = nova.Room{Left: nova.Size{VCPUs: 100, RAMMiB: 8192}}
	if got := CapacityOf(w, DefaultPolicy(), "cmp1"); got != (Capacity{Known: true, Fits: 6, Of: 6}) {
		t.Errorf("%+v", got)
	}
	w.Rooms = RoomSight{Err: "connection refused"}
	if got := CapacityOf(w, DefaultPolicy(), "cmp1"); got.Known || got.Reason != "connection refused" {
		t.Errorf("%+v", got)
	}
}

// A cloud that gives its processors out one to one has room, and is asked about it.
func TestCapacityOfOwnProcessors(t *testing.T) {
	w := stocked(4, 4, 4)
	for host, r := range w.Rooms.By {
		r.Left.VCPUs, r.Left.PCPUs = 0, 2
		w.Rooms.By[host] = r
	}
	for i := range w.Servers["cmp1"] {
		w.Servers["cmp1"][i].FlavorExtra = map[string]string{"hw:cpu_policy": "dedicated"}
	}
	if got := CapacityOf(w, DefaultPolicy(), "cmp1"); got != (Capacity{Known: true, Fits: 4, Of: 4}) {
		t.Errorf("%+v", got)
	}
	w.Rooms.By["cmp3"] = nova.Room{Left: nova.Size{VCPUs: 0, PCPUs: 1, RAMMiB: 8192, DiskGiB: 100}}
	if got := CapacityOf(w, DefaultPolicy(), "cmp1"); got.Fits != 3 {
		t.Errorf("%+v", got)
	}
}

// What Nova keeps in a zone finds no room in another.
func TestCapacityOfZones(t *testing.T) {
	w := stocked(2, 4, 0)
	for host, zone := range map[nova.HostName]string{"cmp1": "az1", "cmp2": "az1", "cmp3": "az2"} {
		s := w.Nova.Services[host]
		s.Zone = zone
		w.Nova.Services[host] = s
	}
	w.Rooms.By["cmp2"] = nova.Room{Left: nova.Size{VCPUs: 100, RAMMiB: 1024, DiskGiB: 100}}
	if got := CapacityOf(w, DefaultPolicy(), "cmp1"); got.Fits != 2 {
		t.Errorf("bound to no zone: %+v", got)
	}
	for i := range w.Servers["cmp1"] {
		w.Servers["cmp1"][i].Pinned = "az1"
	}
	if got := CapacityOf(w, DefaultPolicy(), "cmp1"); got.Fits != 1 {
		t.Errorf("kept in az1: %+v", got)
	}
}

// The gate asks Placement of a host that is down, and shuts only where it is known
// that nothing fits.
func TestGateCapacityByRooms(t *testing.T) {
	for name, tt := range map[string]struct {
		loads  []int
		change func(w *World)
		want   Standing
	}{
		"nobody asks":     {[]int{1, 1}, func(w *World) { w.Rooms = RoomSight{} }, NotConfigured},
		"it is well":      {[]int{8, 8}, func(w *World) { w.Verdicts["cmp1"] = detector.Verdict{State: detector.Healthy} }, Met},
		"all fit":         {[]int{4, 4}, nil, Met},
		"some fit":        {[]int{4, 5}, nil, Warns},
		"none fits":       {[]int{4, 8}, nil, Held},
		"nobody answered": {[]int{4, 8}, func(w *World) { w.Rooms = RoomSight{Err: "connection refused"} }, Warns},
		"an old answer":   {[]int{4, 8}, func(w *World) { w.Rooms.At = t0.Add(-time.Hour) }, Warns},
	} {
		w := stocked(tt.loads...)
		w.Verdicts["cmp1"] = detector.Verdict{State: detector.Dead}
		if tt.change != nil {
			tt.change(w)
		}
		got, why := askCapacity(question{host: "cmp1", world: w, policy: DefaultPolicy()})
		if got != tt.want {
			t.Errorf("%s: %s (%s), want %s", name, got, why, tt.want)
		}
	}
}
