package fence_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// spoken is the least that makes a person's word a proof: the host was silent for
// exactly a minute.
func spoken() fence.Word {
	return fence.Word{By: "ann", Reason: "rack 4 burnt", Typed: "h", At: at(0), LastSign: at(-60_000), LastOn: at(-60_000)}
}

func TestConfirm(t *testing.T) {
	for name, spoil := range map[string]func(*fence.Word){
		"":                         func(*fence.Word) {},
		"never a sign":             func(w *fence.Word) { w.LastSign = time.Time{} },
		"never on":                 func(w *fence.Word) { w.LastOn = time.Time{} },
		"!nobody":                  func(w *fence.Word) { w.By = "" },
		"!no time":                 func(w *fence.Word) { w.At = time.Time{} },
		"!no reason":               func(w *fence.Word) { w.Reason = "" },
		"!name not typed":          func(w *fence.Word) { w.Typed = "" },
		"!another name typed":      func(w *fence.Word) { w.Typed = "h2" },
		"!name in capitals":        func(w *fence.Word) { w.Typed = "H" },
		"!a sign 59.999 s ago":     func(w *fence.Word) { w.LastSign = at(-59_999) },
		"!a sign of the future":    func(w *fence.Word) { w.LastSign = at(1) },
		"!on 59.999 s ago":         func(w *fence.Word) { w.LastOn = at(-59_999) },
		"!on now":                  func(w *fence.Word) { w.LastOn = at(0) },
		"!silent, but on just now": func(w *fence.Word) { w.LastSign, w.LastOn = time.Time{}, at(-1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := spoken()
			spoil(&w)
			p, err := fence.Confirm("h", "b", w)
			if name == "" || name[0] != '!' {
				if err != nil || !p.Covers("h", "b") || p.Covers("h", "other") || p.Covers("h", "") || p.Covers("other", "b") || !p.At().Equal(at(0)) {
					t.Fatal(err, p)
				}
				return
			}
			if !errors.Is(err, fence.ErrNoProof) || p.Covers("h", "b") || !p.At().IsZero() {
				t.Errorf("accepted: %v", err)
			}
		})
	}
}

// The word for a boot that nobody knows covers no other, and no other word covers it.
func TestConfirmUnknownBoot(t *testing.T) {
	p, err := fence.Confirm("h", "", spoken())
	if err != nil || !p.Covers("h", "") || p.Covers("h", "b") {
		t.Error(err, p)
	}
}

// Replicas prove it again from the ledger, and what somebody does to the word
// afterwards does not change the proof. Word and readings do not mix.
func TestWordTravels(t *testing.T) {
	p, err := fence.Confirm("h", "b", spoken())
	if err != nil {
		t.Fatal(err)
	}
	p.Record().Word.Typed = "other"
	data, err := json.Marshal(p.Record())
	if err != nil {
		t.Fatal(err)
	}
	var rec fence.Record
	if err := json.Unmarshal(data, &rec); err != nil {
		t.Fatal(err)
	}
	if again, err := fence.Prove(rec); err != nil || !again.At().Equal(at(0)) || !again.Record().Began().Equal(at(0)) {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*fence.Record){
		"another method": func(r *fence.Record) { r.Method = "redfish" },
		"readings":       func(r *fence.Record) { r.Readings = good().Readings },
		"a command":      func(r *fence.Record) { r.Commanded = at(0) },
		"no host":        func(r *fence.Record) { r.Host = "" },
		"another host":   func(r *fence.Record) { r.Host = "h2" },
		"no word":        func(r *fence.Record) { r.Word = nil },
	} {
		mixed := rec
		spoil(&mixed)
		if _, err := fence.Prove(mixed); !errors.Is(err, fence.ErrNoProof) {
			t.Errorf("%s: accepted", name)
		}
	}
}
