package fence_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
)

var zero = time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }

// good is the least evidence that proves: commanded at 0, read at 100 and 1100 ms.
func good() fence.Record {
	return fence.Record{Host: "h", Boot: "b", Method: "m", Commanded: at(0), Readings: []fence.Reading{
		{Method: "m", Power: fence.Off, Began: at(100), Ended: at(150)},
		{Method: "m", Power: fence.Off, Began: at(1100), Ended: at(1150)},
	}}
}

func TestProve(t *testing.T) {
	for name, spoil := range map[string]func(*fence.Record){
		"":                                nil,
		"no host":                         func(r *fence.Record) { r.Host = "" },
		"never commanded":                 func(r *fence.Record) { r.Commanded = time.Time{} },
		"no reading":                      func(r *fence.Record) { r.Readings = nil },
		"one reading":                     func(r *fence.Record) { r.Readings = r.Readings[:1] },
		"on":                              func(r *fence.Record) { r.Readings[1].Power = fence.On },
		"unknown":                         func(r *fence.Record) { r.Readings[0].Power = fence.Unknown },
		"Off in the BMC's spelling":       func(r *fence.Record) { r.Readings[0].Power = "Off" },
		"another method read":             func(r *fence.Record) { r.Readings[1].Method = "n" },
		"began with the command":          func(r *fence.Record) { r.Readings[0].Began = r.Commanded },
		"began before the command":        func(r *fence.Record) { r.Readings[0].Began = at(-1) },
		"a millisecond too close":         func(r *fence.Record) { r.Readings[1].Began = at(1099) },
		"the same reading twice":          func(r *fence.Record) { r.Readings[1] = r.Readings[0] },
		"overlap":                         func(r *fence.Record) { r.Readings[0].Ended = at(1101) },
		"backwards":                       func(r *fence.Record) { r.Readings[0], r.Readings[1] = r.Readings[1], r.Readings[0] },
		"ended before it began":           func(r *fence.Record) { r.Readings[1].Ended = at(1000) },
		"an on between the offs":          func(r *fence.Record) { r.Readings = between(r.Readings, fence.On) },
		"an unknown between the offs":     func(r *fence.Record) { r.Readings = between(r.Readings, fence.Unknown) },
		"commanded again after the first": func(r *fence.Record) { r.Commanded = at(500) },
	} {
		t.Run(name, func(t *testing.T) {
			rec := good()
			if spoil != nil {
				spoil(&rec)
			}
			p, err := fence.Prove(rec)
			if spoil == nil {
				if err != nil || !p.Covers("h", "b") || !p.At().Equal(at(1150)) {
					t.Fatal(err, p.At())
				}
				return
			}
			if !errors.Is(err, fence.ErrNoProof) || p.Covers(rec.Host, rec.Boot) || !p.At().IsZero() {
				t.Errorf("accepted: %v", err)
			}
		})
	}
}

// fed is good for a machine with two feeds.
func fed() fence.Record {
	rec := good()
	rec.Feeds = 2
	for i, r := range rec.Readings {
		for _, name := range []string{"a", "b"} {
			rec.Readings[i].Parts = append(rec.Readings[i].Parts, fence.Reading{Method: name, Power: fence.Off, Began: r.Began, Ended: r.Ended})
		}
	}
	return rec
}

// TestProveFeeds: a machine with two feeds is off where both were read off, each
// time.
func TestProveFeeds(t *testing.T) {
	part := func(f func(r *fence.Reading)) func(*fence.Record) {
		return func(r *fence.Record) { f(&r.Readings[1].Parts[1]) }
	}
	for name, spoil := range map[string]func(*fence.Record){
		"":                       func(*fence.Record) {},
		"one on":                 part(func(r *fence.Reading) { r.Power = fence.On }),
		"one unknown":            part(func(r *fence.Reading) { r.Power = fence.Unknown }),
		"one read before":        part(func(r *fence.Reading) { r.Began = at(-1) }),
		"one read after":         part(func(r *fence.Reading) { r.Ended = at(9000) }),
		"one not read":           func(r *fence.Record) { r.Readings[0].Parts = r.Readings[0].Parts[:1] },
		"none read":              func(r *fence.Record) { r.Readings[0].Parts = nil },
		"a third declared":       func(r *fence.Record) { r.Feeds = 3 },
		"feeds are not declared": func(r *fence.Record) { r.Feeds = 0 },
	} {
		rec := fed()
		spoil(&rec)
		if _, err := fence.Prove(rec); (err == nil) != (name == "") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func between(r []fence.Reading, p fence.Power) []fence.Reading {
	return []fence.Reading{r[0], {Method: "m", Power: p, Began: at(500), Ended: at(550)}, r[1]}
}

// A proof is for one host in one boot, and the zero value for none.
func TestCovers(t *testing.T) {
	p, err := fence.Prove(good())
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range [][2]string{{"h", "other"}, {"other", "b"}, {"", ""}, {"h", ""}, {"", "b"}, {"H", "b"}} {
		if p.Covers(wrong[0], wrong[1]) {
			t.Errorf("covers %q", wrong)
		}
	}
	if (fence.Proof{}).Covers("", "") || (fence.Proof{}).Covers("h", "b") {
		t.Error("the zero proof covers something")
	}
}

// What somebody does to the evidence afterwards does not change the proof.
func TestProofIsKept(t *testing.T) {
	rec := good()
	p, err := fence.Prove(rec)
	if err != nil {
		t.Fatal(err)
	}
	rec.Readings[1].Power = fence.On
	p.Record().Readings[0].Power = fence.On
	for _, r := range p.Record().Readings {
		if r.Power != fence.Off {
			t.Errorf("the proof now rests on %s", r.Power)
		}
	}
}

// The ledger keeps a proof as JSON, and every replica proves it again.
func TestProofTravels(t *testing.T) {
	p, err := fence.Prove(good())
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(p.Record())
	if err != nil {
		t.Fatal(err)
	}
	var rec fence.Record
	if err := json.Unmarshal(data, &rec); err != nil {
		t.Fatal(err)
	}
	if again, err := fence.Prove(rec); err != nil || !again.At().Equal(p.At()) {
		t.Error(err)
	}
}

// FuzzProve decodes bytes into evidence and compares Prove with the rule as
// docs/safety.md says it, written down a second time in another way.
func FuzzProve(f *testing.F) {
	f.Add([]byte{3, 0, 10, 5, 3, 0, 110, 5})
	f.Add([]byte{3, 0, 10, 5, 3, 0, 109, 5})
	f.Add([]byte{3, 0, 10, 5, 1, 0, 50, 5, 3, 0, 110, 5})
	f.Add([]byte{3, 0, 10, 5, 3, 1, 110, 5})
	f.Add([]byte{3, 0, 0, 5, 3, 0, 110, 5})
	f.Add([]byte{3, 0, 10, 200, 3, 0, 110, 5})
	f.Add([]byte{3, 0, 10, 5, 3, 0, 60, 5, 3, 0, 120, 5})
	f.Fuzz(func(t *testing.T, data []byte) {
		// Time in steps of 10 ms: where "equal" and "exactly 1 s" happen.
		rec := fence.Record{Host: "h", Boot: "b", Method: "m0", Commanded: at(0)}
		for ; len(data) >= 4 && len(rec.Readings) < 8; data = data[4:] {
			power := []fence.Power{fence.Unknown, fence.On, "", fence.Off}[data[0]%4]
			began := int(int8(data[2])) * 10
			if data[0] >= 128 {
				began += 1280
			}
			rec.Readings = append(rec.Readings, fence.Reading{Power: power, Method: []string{"m0", "m1"}[data[1]%2],
				Began: at(began), Ended: at(began + int(int8(data[3]))*10)})
		}
		_, err := fence.Prove(rec)
		if want := holds(rec); (err == nil) != want {
			t.Errorf("the rule says %v, Prove says %v: %+v", want, err, rec.Readings)
		}
	})
}

// holds looks at every pair of instants, where Prove walks along the readings.
func holds(rec fence.Record) bool {
	type span struct{ from, to int64 }
	var spans []span
	for _, r := range rec.Readings {
		exact := r.Power == "off" && r.Method == rec.Method
		from, to := r.Began.Sub(rec.Commanded).Nanoseconds(), r.Ended.Sub(rec.Commanded).Nanoseconds()
		if !exact || from <= 0 || to < from {
			return false
		}
		spans = append(spans, span{from, to})
	}
	var widest int64
	for i := range spans {
		for j := i + 1; j < len(spans); j++ {
			if spans[j].from < spans[i].to { // out of order, or at the same time
				return false
			}
			widest = max(widest, spans[j].from-spans[i].from)
		}
	}
	return len(spans) >= 2 && widest >= int64(time.Second)
}
