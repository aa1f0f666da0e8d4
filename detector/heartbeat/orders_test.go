package heartbeat

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

var testOrder = Order{
	Host: "compute-2", Ports: []uint16{22},
	Addresses: []Address{{"management", netip.MustParseAddr("192.0.2.12")}, {"storage", netip.MustParseAddr("198.51.100.12")}},
}

func TestOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, e := startReceiver(t, w, 1)
		if err := r.Order(t.Context(), "compute-1", testOrder); err == nil {
			t.Error("an order to a host that was never heard")
		}
		o := senderOptions(w, "run-1", 1)
		o.Probe = func(_ context.Context, o Order) (all []detector.Probe) {
			began := time.Now()
			time.Sleep(time.Second)
			for _, a := range append(o.Addresses, Address{Network: "elsewhere"}) {
				all = append(all, detector.Probe{Network: a.Network, Kind: detector.ProbeICMP, Answer: detector.Silent, Began: began, Detail: "timeout"})
			}
			return all
		}
		s := startSender(t, o)
		time.Sleep(3 * time.Second)
		asked := time.Now()
		if err := r.Order(t.Context(), "compute-1", testOrder); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		got := e.results()
		if len(got) != 2 {
			t.Fatalf("%d results: %+v", len(got), got)
		}
		for i, p := range got {
			want := detector.Probe{Observer: "compute-1", Host: "compute-2", Network: testOrder.Addresses[i].Network,
				Kind: detector.ProbeICMP, Answer: detector.Silent, Began: asked, Detail: "timeout"}
			if p != want {
				t.Errorf("%+v, want %+v", p, want)
			}
		}
		if err := r.Order(t.Context(), "compute-1", Order{Host: "pasture-9", Addresses: testOrder.Addresses}); err != nil {
			t.Fatal(err)
		}
		for range 30 {
			if err := r.Order(t.Context(), "compute-1", testOrder); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		if n, want := len(e.results())-2, 2*DefaultOrders; n != want {
			t.Errorf("%d results of 30 orders at once, want those of %d", n, DefaultOrders)
		}
		if n := s.Stats().Refused; n != 27 {
			t.Errorf("%d orders refused", n)
		}
	})
}

// A recorded order, and a result that nobody asked for, are worth nothing.
func TestOrdersAreFreshAndAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, e := startReceiver(t, w, 1)
		o := senderOptions(w, "run-1", 1)
		done := 0
		o.Probe = func(_ context.Context, o Order) []detector.Probe {
			done++
			return []detector.Probe{{Network: "management", Kind: detector.ProbeTCP, Answer: detector.Answered, Began: time.Now()}}
		}
		s := startSender(t, o)
		time.Sleep(3 * time.Second)
		if err := r.Order(t.Context(), "compute-1", testOrder); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		tape := w.recordings()
		for range 2 {
			for _, rec := range tape {
				w.play(rec)
			}
			synctest.Wait()
		}
		if done != 1 || len(e.results()) != 1 {
			t.Errorf("probed %d times, %d results", done, len(e.results()))
		}
		s.answer("c1", 4711, []detector.Probe{{Network: "management", Kind: detector.ProbeTCP, Answer: detector.Answered, Began: time.Now()}})
		synctest.Wait()
		if len(e.results()) != 1 || r.Stats().Refused != 1 {
			t.Errorf("unasked results count: %+v", e.results())
		}
		s.Close()
		// A restarted agent knows no numbers; the order echoes its former run.
		o = senderOptions(w, "run-2", 1)
		o.Probe = func(context.Context, Order) []detector.Probe { done++; return nil }
		startSender(t, o)
		for _, rec := range tape {
			w.play(rec)
		}
		synctest.Wait()
		if done != 1 {
			t.Error("a recorded order was performed")
		}
	})
}
