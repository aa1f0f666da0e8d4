package heartbeat

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

func TestPathsTravel(t *testing.T) {
	hb := testHeartbeat
	row := &detector.PathRow{List: 1<<32 - 1, Age: 1500 * time.Millisecond, Owners: []detector.MAC{{2, 0, 0, 0, 0, 17}, {}}, Hanging: 3, Peers: 2, PeersAsked: 3, Neighbours: 1, Connections: 4, Detours: 1, Routes: 2}
	for i := range detector.MaxPathTargets {
		row.Words = append(row.Words, detector.PathWord(i%4))
	}
	hb.Paths = row
	plain, _ := putHeartbeat(testHeartbeat, 1000)
	payload, omitted := putHeartbeat(hb, 1000)
	if omitted != 0 || len(payload)-len(plain) > 50 {
		t.Errorf("%d bytes more for %d targets, %d omitted", len(payload)-len(plain), len(row.Words), omitted)
	}
	got, ok := getHeartbeat(datagram{header: header{from: "compute-1"}, payload: payload})
	if !ok || !reflect.DeepEqual(got.Paths, row) {
		t.Errorf("got %v %+v, want %+v", ok, got.Paths, row)
	}
	// An agent that is not told of targets, or of an older version, writes nothing.
	if got, ok := getHeartbeat(datagram{payload: plain}); !ok || got.Paths != nil {
		t.Errorf("of an older agent: %v %+v", ok, got.Paths)
	}
	// A row that was cut is none, and its heartbeat is a sign of life all the same.
	for n := len(plain) + 1; n < len(payload); n++ {
		if n == len(payload)-2 {
			continue // where an older agent ends
		}
		if got, ok := getHeartbeat(datagram{payload: payload[:n]}); !ok || got.Paths != nil || len(got.Networks) != 2 {
			t.Errorf("cut to %d of %d bytes: %v %+v", n, len(payload), ok, got.Paths)
		}
	}
	older := *row
	older.Detours, older.Routes = 0, 0
	if got, ok := getHeartbeat(datagram{payload: payload[:len(payload)-2]}); !ok || !reflect.DeepEqual(got.Paths, &older) {
		t.Errorf("of an older agent: %v %+v", ok, got.Paths)
	}
	if got, ok := getHeartbeat(datagram{payload: append(bytes.Clone(payload), "and more"...)}); !ok || !reflect.DeepEqual(got.Paths, row) {
		t.Errorf("of a newer agent: %v %+v", ok, got.Paths)
	}
}

func TestOwnersTravel(t *testing.T) {
	a := ack{Status: Status{Leader: "c1", Term: 3, Roster: 12}, counted: true}
	a.Noted, a.Mend = 4, true
	old := putAck(a)
	a.Owners = []Owner{{MAC: detector.MAC{2, 0, 0, 0, 0, 17}, For: 90 * time.Second}, {}}
	b := putAck(a)
	if got, ok := getAck(b); !ok || !reflect.DeepEqual(got, a) {
		t.Errorf("%v %+v, want %+v", ok, got, a)
	}
	if got, ok := getAck(old); !ok || got.Owners != nil || got.Noted != 4 {
		t.Errorf("of an older controller: %v %+v", ok, got)
	}
	for n := len(old) + 1; n < len(b); n++ {
		if got, ok := getAck(b[:n]); !ok || got.Owners != nil || got.Term != 3 {
			t.Errorf("cut to %d of %d bytes: %v %+v", n, len(b), ok, got)
		}
	}
}
