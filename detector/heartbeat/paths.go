package heartbeat

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// putPaths writes a host's sight of the control plane, two bits a target. It stands
// at the end: who knows nothing of it passes it over, and without one nothing is
// written.
func putPaths(w *writer, row *detector.PathRow) {
	if row == nil || len(row.Words) > detector.MaxPathTargets {
		return
	}
	w.number(uint64(len(row.Words)))
	w.number(uint64(row.List))
	w.number(uint64(min(max(row.Age, 0), maxReachAge) / time.Millisecond))
	for i := 0; i < len(row.Words); i += 4 {
		var b byte
		for j, word := range row.Words[i:min(i+4, len(row.Words))] {
			b |= byte(word&3) << (2 * j)
		}
		w.byte(b)
	}
	w.number(uint64(max(row.Hanging, 0)))
	w.number(uint64(max(row.Peers, 0)))
	w.number(uint64(max(row.PeersAsked, 0)))
	owners := row.Owners[:min(len(row.Owners), detector.MaxPathOwners)]
	w.number(uint64(len(owners)))
	for _, mac := range owners {
		w.b = append(w.b, mac[:]...)
	}
	w.number(uint64(max(row.Neighbours, 0)))
	w.number(uint64(max(row.Connections, 0)))
	w.number(uint64(max(row.Detours, 0)))
	w.number(uint64(max(row.Routes, 0)))
}

// getPaths reads what a sender without such a sight does not write. What is not
// understood of it is no sight; the heartbeat is a sign of life all the same.
func getPaths(rest []byte) *detector.PathRow {
	r := reader{b: rest}
	if len(rest) == 0 {
		return nil
	}
	n, list, age := r.number(), r.number(), r.number()
	if n > detector.MaxPathTargets || list > 1<<32-1 {
		return nil
	}
	row := &detector.PathRow{List: uint32(list), Age: time.Duration(min(age, uint64(maxReachAge/time.Millisecond))) * time.Millisecond}
	var b byte
	for i := range int(n) {
		if i%4 == 0 {
			b = r.byte()
		}
		row.Words = append(row.Words, detector.PathWord(b&3))
		b >>= 2
	}
	row.Hanging, row.Peers, row.PeersAsked = small(&r), small(&r), small(&r)
	owners := r.number()
	if r.bad || owners > detector.MaxPathOwners {
		return nil
	}
	for range owners {
		var mac detector.MAC
		for i := range mac {
			mac[i] = r.byte()
		}
		row.Owners = append(row.Owners, mac)
	}
	row.Neighbours, row.Connections = small(&r), small(&r)
	if len(r.b) > 0 { // an older sender ends here
		row.Detours, row.Routes = small(&r), small(&r)
	}
	if r.bad {
		return nil
	}
	return row
}

// putOwners ends an acknowledgement; a controller that knows nothing writes nothing.
func putOwners(w *writer, owners []Owner, restart uint64) {
	if len(owners) == 0 || len(owners) > detector.MaxPathOwners {
		return
	}
	w.number(uint64(len(owners)))
	for _, o := range owners {
		w.b = append(w.b, o.MAC[:]...)
		w.number(uint64(max(o.For, 0) / time.Millisecond))
	}
	if restart > 0 {
		w.number(restart)
	}
}

// getOwners reads what an older controller does not write. What is not understood is
// no owner.
func getOwners(rest []byte) (owners []Owner, restart uint64) {
	r := reader{b: rest}
	if len(rest) == 0 {
		return nil, 0
	}
	n := r.number()
	if n > detector.MaxPathOwners {
		return nil, 0
	}
	for range n {
		var o Owner
		for i := range o.MAC {
			o.MAC[i] = r.byte()
		}
		o.For = time.Duration(min(r.number(), uint64(maxOwned/time.Millisecond))) * time.Millisecond
		owners = append(owners, o)
	}
	if len(r.b) > 0 { // an older controller ends here
		restart = r.number()
	}
	if r.bad {
		return nil, 0
	}
	return owners, restart
}

// maxOwned is beyond what any repair asks for.
const maxOwned = 365 * 24 * time.Hour
