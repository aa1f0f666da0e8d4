package app

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestIndirect: a host that does not reach a target asks three others of the ring;
// who is away, whose list differs, or who is asked too often says nothing.
func TestIndirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		targets := []vip.Target{{Service: "nova", Address: netip.MustParseAddrPort("10.0.0.100:8774")}, {Service: "placement", Address: netip.MustParseAddrPort("10.0.0.100:8778")}}
		hosts := []nova.HostName{"cmp1", "cmp2", "cmp3", "cmp4"}
		ring := map[nova.HostName]*indirect{}
		words := map[nova.HostName]detector.PathWord{"cmp1": detector.PathSilent}
		away := map[nova.HostName]bool{}
		questions := 0
		for _, h := range hosts {
			ring[h] = &indirect{host: h, now: time.Now, waiting: map[uint64]chan []int{}, peers: func() []nova.HostName { return hosts },
				list: func() []vip.Target { return targets },
				ask:  func(context.Context, vip.Target) detector.PathWord { questions++; return words[h] },
				send: func(to nova.HostName, m []byte) error {
					if away[to] {
						return errors.New("not here")
					}
					ring[to].hear(t.Context(), m)
					return nil
				},
				spawn: func(f func()) { f() }}
		}
		ask := func() (asked, reached int) {
			time.Sleep(time.Second)
			return ring["cmp1"].confirm(t.Context(), targets[:1])
		}
		if asked, reached := ask(); asked != 3 || reached != 3 {
			t.Errorf("%d of %d reach it, want 3 of 3", reached, asked)
		}
		words["cmp2"], away["cmp3"] = detector.PathRefused, true
		if asked, reached := ask(); asked != 2 || reached != 1 {
			t.Errorf("%d of %d reach it, want 1 of 2", reached, asked)
		}
		ring["cmp2"].list = func() []vip.Target { return targets[1:] }
		ring["cmp4"].list = ring["cmp2"].list
		before := questions
		began := time.Now()
		if asked, reached := ask(); asked != 2 || reached != 0 || questions != before {
			t.Errorf("with other lists %d of %d reach it after %d questions", reached, asked, questions-before)
		} else if took := time.Since(began); took > favourTime+time.Second {
			t.Errorf("it waited for %s", took)
		}
		ring["cmp2"].list = func() []vip.Target { return targets }
		time.Sleep(time.Second)
		before = questions
		for range 20 {
			ring["cmp2"].hear(t.Context(), encode(favour{ID: 1, From: "cmp3", List: vip.List(targets), Targets: []int{0}}))
		}
		if questions != before+1 {
			t.Errorf("%d questions at once were served", questions-before)
		}
		if ring["cmp2"].hear(t.Context(), []byte("something else")) {
			t.Error("another message of the ring is taken for a favour")
		}
	})
}
