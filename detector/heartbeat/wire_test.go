package heartbeat

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

func testKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func testHeader(k kind) header {
	return header{kind: k, from: "compute-1", to: "c1", key: "0011223344556677", start: "run-1", seq: 7, echo: "run-9", echoed: 3}
}

var testHeartbeat = detector.Heartbeat{
	Host: "compute-1", Boot: "0e4a1c9a-5d2e-4b8e-9c52-6a6d4c2b3f10", Start: "run-1", Seq: 7, Leaving: true,
	Ring:     detector.RingView{Score: 2, Alive: 98, Known: 100, Stalled: true, Muted: true, Dead: []nova.HostName{"compute-7", "compute-8"}, DeadCount: 40},
	Networks: []detector.Reach{{Network: "storage", Asked: 3, Age: 2300 * time.Millisecond}, {Network: "tenant", Asked: 3, Reached: 2, Age: time.Second}},
	Sensors:  map[string]string{"nova-compute": "up", "vip": "0110"},
	Lease:    90 * time.Second,
	Watchdog: &detector.Watchdog{Serial: 3, Armed: true, Lease: 10 * time.Second, Timeout: 30 * time.Second, Voters: []string{"ctl1", "ctl2", "ctl3"}, Ring: "0123456789abcdef", NoWayOut: true},
}

func TestHeartbeatTravels(t *testing.T) {
	c := clusterOf("cloud-a")
	h := testHeader(kindHeartbeat)
	payload, omitted := putHeartbeat(testHeartbeat, c.room(h))
	if omitted != 0 {
		t.Fatalf("%d omitted", omitted)
	}
	d, err := c.take(c.seal(h, payload, testKey(1), edwards{}))
	if err != nil {
		t.Fatal(err)
	}
	if d.header != h {
		t.Errorf("header %+v, want %+v", d.header, h)
	}
	if !c.verify(d, oneKey(public(testKey(1))), edwards{}) {
		t.Error("its signature does not verify")
	}
	hb, ok := getHeartbeat(d)
	if !ok || !reflect.DeepEqual(hb, testHeartbeat) {
		t.Errorf("got %v %+v", ok, hb)
	}
}

func TestWhoMaySign(t *testing.T) {
	a, b := clusterOf("cloud-a"), clusterOf("cloud-b")
	sealed := a.seal(testHeader(kindHeartbeat), nil, testKey(1), edwards{})
	d, err := a.take(sealed)
	if err != nil {
		t.Fatal(err)
	}
	if a.verify(d, oneKey(public(testKey(2))), edwards{}) || a.verify(d, nil, edwards{}) {
		t.Error("verified by a foreign key or none")
	}
	if !a.verify(d, []ed25519.PublicKey{public(testKey(2)), nil, public(testKey(1))}, edwards{}) {
		t.Error("the second key of a rotation does not verify")
	}
	if _, err := b.take(sealed); !errors.Is(err, errCluster) {
		t.Errorf("another cluster takes it: %v", err)
	}
	// The short hash in the datagram is for the eye; the signature covers all.
	if b.verify(d, oneKey(public(testKey(1))), edwards{}) {
		t.Error("it verifies in another cluster")
	}
	// The same bytes signed without the separator are no datagram.
	bare := append(bytes.Clone(d.signed), ed25519.Sign(testKey(1), d.signed)...)
	if d, err := a.take(bare); err != nil || a.verify(d, oneKey(public(testKey(1))), edwards{}) {
		t.Errorf("a signature for another purpose verifies (%v)", err)
	}
}

func TestNoFlippedBitVerifies(t *testing.T) {
	c := clusterOf("cloud-a")
	h := testHeader(kindHeartbeat)
	payload, _ := putHeartbeat(testHeartbeat, c.room(h))
	sealed := c.seal(h, payload, testKey(1), edwards{})
	keys := oneKey(public(testKey(1)))
	for i := range len(sealed) * 8 {
		b := bytes.Clone(sealed)
		b[i/8] ^= 1 << (i % 8)
		if d, err := c.take(b); err == nil && c.verify(d, keys, edwards{}) {
			t.Fatalf("bit %d flipped, and it verifies", i)
		}
	}
	for i := range len(sealed) {
		if d, err := c.take(sealed[:i]); err == nil && c.verify(d, keys, edwards{}) {
			t.Fatalf("cut to %d bytes it verifies", i)
		}
	}
}

// Agents and controllers are not upgraded at one instant: a heartbeat of the
// first version ends after its sensors, and a later one goes on.
func TestHeartbeatsOfOtherVersions(t *testing.T) {
	added := putAdded(testHeartbeat)
	payload, _ := putHeartbeat(testHeartbeat, 1000)
	first := payload[:len(payload)-len(added)]
	got, ok := getHeartbeat(datagram{header: header{from: "compute-1"}, payload: first})
	if !ok || got.Ring.DeadCount != 0 || got.Networks != nil || len(got.Ring.Dead) != 2 || got.Sensors["vip"] != "0110" {
		t.Errorf("of the first version: %t %+v", ok, got)
	}
	got, ok = getHeartbeat(datagram{header: header{from: "compute-1"}, payload: append(bytes.Clone(payload), "and more"...)})
	if !ok || got.Ring.DeadCount != 40 || len(got.Networks) != 2 {
		t.Errorf("of a later version: %t %+v", ok, got)
	}
	var lease writer
	putLease(&lease, testHeartbeat)
	before := len(payload) - len(lease.b)
	if got, ok := getHeartbeat(datagram{payload: payload[:before]}); !ok || got.Watchdog != nil || got.Lease != 0 || len(got.Networks) != 2 {
		t.Errorf("of the version before watchdogs: %t %+v", ok, got)
	}
	for n := len(first) + 1; n < len(payload); n++ {
		if n == before {
			continue
		}
		if _, ok := getHeartbeat(datagram{payload: payload[:n]}); ok {
			t.Errorf("cut to %d of %d bytes it is taken", n, len(payload))
		}
	}
}

// The greatest of everything still fits one datagram.
func TestGreatestDatagrams(t *testing.T) {
	c := clusterOf("cloud-a")
	host := strings.Repeat("h", maxHost)
	id := strings.Repeat("i", maxID)
	h := header{from: host, to: host, key: id, start: id, seq: 1<<64 - 1, echo: id, echoed: 1<<64 - 1}
	hb := detector.Heartbeat{Boot: id, Ring: detector.RingView{Score: 1 << 20, Alive: 1 << 20, Known: 1 << 20}, Sensors: map[string]string{}}
	for i := range 300 {
		hb.Ring.Dead = append(hb.Ring.Dead, nova.HostName(fmt.Sprintf("%d%s", i, host[:250])))
		hb.Sensors[fmt.Sprintf("sensor-%d", i)] = strings.Repeat("v", i)
	}
	for range maxNetworks + 1 {
		hb.Networks = append(hb.Networks, detector.Reach{Network: id[:maxNetwork], Asked: 1 << 20, Reached: 1 << 20, Age: maxReachAge})
	}
	payload, omitted := putHeartbeat(hb, c.room(h))
	h.kind = kindHeartbeat
	b := c.seal(h, payload, testKey(1), edwards{})
	if len(b) > MaxDatagram || omitted == 0 {
		t.Errorf("%d bytes, %d omitted", len(b), omitted)
	}
	d, err := c.take(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := getHeartbeat(d); !ok || len(got.Ring.Dead) == 0 || len(got.Sensors) == 0 {
		t.Errorf("%v: %d dead, %d sensors of the crowd", ok, len(got.Ring.Dead), len(got.Sensors))
	}

	if got, _ := getHeartbeat(d); len(got.Networks) != maxNetworks || got.Ring.DeadCount != 300 {
		t.Errorf("%d networks and %d dead are told of, want %d and 300", len(got.Networks), got.Ring.DeadCount, maxNetworks)
	}

	o := Order{Host: nova.HostName(host)}
	// A larger one is refused by Receiver.Order.
	for range MaxOrderAddresses {
		o.Addresses = append(o.Addresses, Address{Network: "management", Addr: netip.MustParseAddr("2001:db8::1")})
		o.Ports = append(o.Ports, 65535)
	}
	if n := len(c.seal(h, putOrder(1<<64-1, o), testKey(1), edwards{})); n > MaxDatagram {
		t.Errorf("an order of %d bytes", n)
	}
	if n := len(c.seal(h, putAck(ack{Status: Status{Leader: id, Term: 1<<64 - 1, Roster: 1<<64 - 1}}), testKey(1), edwards{})); n > MaxDatagram {
		t.Errorf("an ack of %d bytes", n)
	}
	var probes []detector.Probe
	for range 100 {
		probes = append(probes, detector.Probe{Network: id, Kind: detector.ProbeICMP, Answer: detector.Silent, Detail: host})
	}
	n := 0
	for _, p := range putResults(1<<64-1, probes, time.Time{}, c.room(h)) {
		if size := len(c.seal(h, p, testKey(1), edwards{})); size > MaxDatagram {
			t.Errorf("a result of %d bytes", size)
		}
		_, results, ok := getResults(p)
		if !ok {
			t.Fatal("a part does not decode")
		}
		n += len(results)
	}
	if n != len(probes) {
		t.Errorf("%d of %d results travelled", n, len(probes))
	}
}

func TestOrderTravels(t *testing.T) {
	want := Order{
		Host: "compute-2", Ports: []uint16{22, 16509},
		Addresses: []Address{{"management", netip.MustParseAddr("192.0.2.7")}, {"storage", netip.MustParseAddr("2001:db8::7")}},
	}
	id, got, ok := getOrder(putOrder(42, want))
	if !ok || id != 42 || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %d %+v", ok, id, got)
	}
}

func TestSession(t *testing.T) {
	var s session
	steps := []struct {
		start string
		seq   uint64
		want  freshness
	}{
		{"a", 5, newRun},
		{"a", 5, replayed},
		{"a", 9, fresh},
		{"a", 7, fresh}, // overtaken on the way
		{"a", 7, replayed},
		{"a", 200, fresh},
		{"a", 9, replayed}, // beyond the window
		{"a", 137, fresh},  // its last number
		{"a", 136, replayed},
		{"b", 1, newRun},
		{"a", 201, replayed}, // a retired run
		{"b", 2, fresh},
	}
	for i, st := range steps {
		got := s.judge(st.start, st.seq)
		if got != st.want {
			t.Fatalf("step %d, %s/%d: %v, want %v", i, st.start, st.seq, got, st.want)
		}
		if got == newRun {
			s.adopt(st.start)
		}
		if got != replayed {
			s.accept(st.seq)
		}
	}
}

func FuzzTake(f *testing.F) {
	c := clusterOf("cloud-a")
	key := testKey(1)
	hb, _ := putHeartbeat(testHeartbeat, 1000)
	order := putOrder(42, Order{Host: "h", Addresses: []Address{{"management", netip.MustParseAddr("192.0.2.7")}}, Ports: []uint16{22}})
	results := putResults(42, []detector.Probe{{Network: "n", Kind: detector.ProbeTCP, Answer: detector.Silent}}, time.Time{}, 1000)[0]
	for k, p := range map[kind][]byte{kindHeartbeat: hb, kindAck: putAck(ack{leaving: true}), kindOrder: order, kindResult: results} {
		f.Add(c.seal(testHeader(k), p, key, edwards{}))
	}
	f.Add([]byte("LB"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := c.take(b)
		if err != nil {
			return
		}
		// Whoever holds a host's key may put anything into a payload.
		_, _ = getHeartbeat(d)
		_, _ = getAck(d.payload)
		_, _, _ = getOrder(d.payload)
		_, _, _ = getResults(d.payload)
	})
}
