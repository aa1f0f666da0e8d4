package heartbeat

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	flagLeaving = 1 << iota
	flagStalled
	flagMuted // an older receiver passes it over
)

// A heartbeat tells of so many networks, with names of so many bytes: there are
// management, storage and tenant.
const (
	maxNetworks = 4
	maxNetwork  = 16
)

// reservedForDead is the part of a heartbeat that long lists of sensors cannot
// take from the list of the dead.
const reservedForDead = 400

// putHeartbeat writes what fits into room. The dead come first, in their
// order; then the sensors by name, and whatever does not fit is left out. What
// was added since version 1 stands at the end, and has its room kept.
func putHeartbeat(hb detector.Heartbeat, room int) (payload []byte, omitted int) {
	var w writer
	var flags byte
	if hb.Leaving {
		flags |= flagLeaving
	}
	if hb.Ring.Stalled {
		flags |= flagStalled
	}
	if hb.Ring.Muted {
		flags |= flagMuted
	}
	w.byte(flags)
	w.text(hb.Boot)
	w.number(uint64(max(hb.Ring.Score, 0)))
	w.number(uint64(max(hb.Ring.Alive, 0)))
	w.number(uint64(max(hb.Ring.Known, 0)))

	// Each list has its count before it: one byte, as both stay below 128.
	added := putAdded(hb)
	room -= len(added)
	var dead writer
	n, left := 0, min(room-len(w.b)-2, reservedForDead)
	for _, h := range hb.Ring.Dead {
		if n == detector.MaxDead || len(dead.b)+1+len(h) > left || len(h) > maxHost {
			omitted++
			continue
		}
		dead.text(string(h))
		n++
	}
	w.number(uint64(n))
	w.b = append(w.b, dead.b...)

	var sensors writer
	n, left = 0, room-len(w.b)-1
	for _, name := range slices.Sorted(maps.Keys(hb.Sensors)) {
		value := hb.Sensors[name]
		if n == 127 || len(name) > 255 || len(value) > 255 || len(sensors.b)+2+len(name)+len(value) > left {
			omitted++
			continue
		}
		sensors.text(name)
		sensors.text(value)
		n++
	}
	w.number(uint64(n))
	w.b = append(w.b, sensors.b...)
	return append(w.b, added...), omitted
}

func putAdded(hb detector.Heartbeat) []byte {
	var w writer
	w.number(uint64(max(hb.Ring.DeadCount, len(hb.Ring.Dead)))) // those that find no room too
	networks := slices.DeleteFunc(slices.Clone(hb.Networks), func(n detector.Reach) bool { return len(n.Network) > maxNetwork })
	networks = networks[:min(len(networks), maxNetworks)]
	w.number(uint64(len(networks)))
	for _, n := range networks {
		w.text(n.Network)
		w.number(uint64(max(n.Asked, 0)))
		w.number(uint64(max(n.Reached, 0)))
		w.number(uint64(max(n.Age, 0) / time.Millisecond))
	}
	putLease(&w, hb)
	putPaths(&w, hb.Paths)
	return w.b
}

// getAdded reads what a sender of the first version does not write.
func getAdded(r *reader, hb *detector.Heartbeat) {
	if len(r.b) == 0 {
		return
	}
	hb.Ring.DeadCount = small(r)
	n := r.count()
	if n > maxNetworks {
		r.bad = true
		return
	}
	for range n {
		reach := detector.Reach{Network: r.text(maxNetwork), Asked: small(r), Reached: small(r)}
		age := r.number()
		if age > uint64(maxReachAge/time.Millisecond) {
			age = uint64(maxReachAge / time.Millisecond)
		}
		reach.Age = time.Duration(age) * time.Millisecond
		hb.Networks = append(hb.Networks, reach)
	}
	if !r.bad {
		getLease(r, hb)
	}
	if !r.bad {
		hb.Paths = getPaths(r.b)
	}
}

// maxReachAge is beyond what anybody takes for fresh.
const maxReachAge = time.Hour

// A newer sender may write more behind what is read here: it is passed over.
func getHeartbeat(d datagram) (detector.Heartbeat, bool) {
	r := reader{b: d.payload}
	flags := r.byte()
	hb := detector.Heartbeat{
		Host: nova.HostName(d.from), Start: d.start, Seq: d.seq,
		Leaving: flags&flagLeaving != 0, Boot: r.text(maxID),
	}
	hb.Ring.Stalled, hb.Ring.Muted = flags&flagStalled != 0, flags&flagMuted != 0
	hb.Ring.Score = small(&r)
	hb.Ring.Alive = small(&r)
	hb.Ring.Known = small(&r)
	for range r.count() {
		hb.Ring.Dead = append(hb.Ring.Dead, nova.HostName(r.text(maxHost)))
	}
	if n := r.count(); n > 0 {
		hb.Sensors = make(map[string]string, n)
		for range n {
			name := r.text(255)
			hb.Sensors[name] = r.text(255)
		}
	}
	if !r.bad {
		getAdded(&r, &hb)
	}
	return hb, !r.bad && len(hb.Ring.Dead) <= detector.MaxDead
}

func small(r *reader) int {
	n := r.number()
	if n > 1<<20 {
		r.bad = true
	}
	return int(min(n, 1<<20))
}

type ack struct {
	Status
	Word
	leaving bool // the acknowledged heartbeat announced a stop
	counted bool // the heartbeat was taken for a sign of life, and not only heard
}

func putAck(a ack) []byte {
	var w writer
	var flags byte
	if a.leaving {
		flags |= flagLeaving
	}
	if a.counted {
		flags |= flagCounted
	}
	if a.Watch {
		flags |= flagWatch
	}
	if a.Mend {
		flags |= flagMend
	}
	w.byte(flags)
	w.text(a.Leader)
	w.number(a.Term)
	w.number(a.Roster)
	w.number(a.Noted)
	putOwners(&w, a.Owners, a.Restart)
	return w.b
}

func getAck(payload []byte) (ack, bool) {
	r := reader{b: payload}
	flags := r.byte()
	a := ack{leaving: flags&flagLeaving != 0, counted: flags&flagCounted != 0}
	a.Watch, a.Mend = flags&flagWatch != 0, flags&flagMend != 0
	a.Leader = r.text(maxID)
	a.Term = r.number()
	a.Roster = r.number()
	if !r.bad && len(r.b) > 0 { // a controller of the first version ends here
		a.Noted = r.number()
	}
	if !r.bad {
		a.Owners, a.Restart = getOwners(r.b)
	}
	return a, !r.bad
}

func putOrder(id uint64, o Order) []byte {
	var w writer
	w.number(id)
	w.text(string(o.Host))
	w.number(uint64(len(o.Addresses)))
	for _, a := range o.Addresses {
		w.text(a.Network)
		raw := a.Addr.Unmap().AsSlice()
		w.text(string(raw))
	}
	w.number(uint64(len(o.Ports)))
	for _, p := range o.Ports {
		w.number(uint64(p))
	}
	return w.b
}

func getOrder(payload []byte) (id uint64, o Order, ok bool) {
	r := reader{b: payload}
	id = r.number()
	o.Host = nova.HostName(r.text(maxHost))
	n := r.count()
	if n > MaxOrderAddresses {
		return 0, Order{}, false
	}
	for range n {
		a := Address{Network: r.text(maxID)}
		addr, fits := netip.AddrFromSlice([]byte(r.text(16)))
		if !fits {
			return 0, Order{}, false
		}
		a.Addr = addr.Unmap()
		o.Addresses = append(o.Addresses, a)
	}
	n = r.count()
	if n > MaxOrderPorts {
		return 0, Order{}, false
	}
	for range n {
		p := r.number()
		if p == 0 || p > 65535 {
			return 0, Order{}, false
		}
		o.Ports = append(o.Ports, uint16(p))
	}
	return id, o, !r.bad && o.Host != "" && len(o.Addresses) > 0
}

// The order of these lists is the wire's: append only.
var (
	answers = []detector.Answer{detector.Failed, detector.Silent, detector.Answered}
	kinds   = []string{detector.ProbeICMP, detector.ProbeTCP, detector.ProbeNeighbour}
)

// maxDetail cuts a probe's detail.
const maxDetail = 80

// putResults writes one or more payloads of at most room bytes, each of which
// stands alone: a lost one costs its own probes only.
func putResults(id uint64, probes []detector.Probe, now time.Time, room int) [][]byte {
	var all [][]byte
	var w writer
	begin := func() { w = writer{}; w.number(id) }
	begin()
	empty := len(w.b)
	for _, p := range probes {
		a, k := slices.Index(answers, p.Answer), slices.Index(kinds, p.Kind)
		if a < 0 || k < 0 || len(p.Network) > maxID {
			continue
		}
		var one writer
		one.byte(byte(k))
		one.byte(byte(a))
		one.text(p.Network)
		one.number(uint64(max(now.Sub(p.Began), 0) / time.Millisecond))
		one.text(p.Detail[:min(len(p.Detail), maxDetail)])
		if len(w.b)+len(one.b) > room && len(w.b) > empty {
			all = append(all, w.b)
			begin()
		}
		w.b = append(w.b, one.b...)
	}
	if len(w.b) > empty {
		all = append(all, w.b)
	}
	return all
}

type result struct {
	detector.Probe
	age time.Duration
}

// maxAge is beyond what any probe takes; an older result is nonsense.
const maxAge = time.Minute

func getResults(payload []byte) (id uint64, results []result, ok bool) {
	r := reader{b: payload}
	id = r.number()
	for len(r.b) > 0 && !r.bad {
		k, a := int(r.byte()), int(r.byte())
		var res result
		res.Network = r.text(maxID)
		age := r.number()
		res.Detail = r.text(maxDetail)
		if r.bad || k >= len(kinds) || a >= len(answers) || age > uint64(maxAge/time.Millisecond) {
			return 0, nil, false
		}
		res.Kind, res.Answer, res.age = kinds[k], answers[a], time.Duration(age)*time.Millisecond
		results = append(results, res)
	}
	return id, results, !r.bad
}
