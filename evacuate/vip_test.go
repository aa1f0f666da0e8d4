package evacuate

import (
	"strings"
	"testing"
	"time"
)

// TestVIPRecord: what is found is journalled when it begins and when it ends, keeps its
// time over a change of leader, and becomes a notice each time; nothing else changes.
func TestVIPRecord(t *testing.T) {
	s := NewState()
	at := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	index := uint64(0)
	note := func(after time.Duration, owner string, fs ...VIPFinding) {
		t.Helper()
		index++
		err := s.Apply(index, 1, Entry{Kind: KindVIP, At: at.Add(after), By: "ctl1", VIP: &VIPRecord{Owners: map[string]string{"internal": owner}, Findings: fs}})
		if err != nil {
			t.Fatal(err)
		}
	}
	twins := VIPFinding{Kind: "duplicate", VIP: "internal", Nodes: []string{"ctl1", "ctl2"}, Evidence: []string{"both have it"}, Since: at.Add(time.Second), Do: "look", Runbook: "docs/vip.md#duplicate"}
	note(0, "ctl1")
	note(time.Second, "ctl1+ctl2", twins)
	if !s.VIP.Same(map[string]string{"internal": "ctl1+ctl2"}, []VIPFinding{twins}, nil, 0) || s.VIP.Same(map[string]string{"internal": "ctl1+ctl2"}, nil, nil, 0) {
		t.Error("Same does not tell what has changed")
	}
	later := twins
	later.Since = at.Add(time.Minute) // a new leader has seen it for a moment only
	note(time.Minute, "ctl1+ctl2", later)
	if !s.VIP.Findings[0].Since.Equal(at.Add(time.Second)) {
		t.Errorf("since %s", s.VIP.Findings[0].Since)
	}
	note(2*time.Minute, "ctl2")
	if len(s.VIP.Findings) != 0 || len(s.VIP.Past) != 1 || s.VIP.Moves["internal"] != 2 {
		t.Errorf("%+v", s.VIP)
	}
	var journal []string
	for _, e := range s.Journal {
		journal = append(journal, e.Text)
	}
	for _, want := range []string{"is at ctl1, was at nobody", "found duplicate of the address internal: both have it", "duplicate of the address internal is over after 1m59s", "is at ctl2, was at ctl1+ctl2"} {
		if !strings.Contains(strings.Join(journal, "\n"), want) {
			t.Errorf("the journal does not say %q: %q", want, journal)
		}
	}
	var events []string
	for _, n := range Notices(s) {
		events = append(events, string(n.Kind)+" "+n.Event)
	}
	if strings.Join(events, ", ") != "vip found, vip over" {
		t.Errorf("notices %v", events)
	}
	for i := range 2 * maxPastVIP {
		note(time.Hour+time.Duration(2*i)*time.Second, "ctl2", twins)
		note(time.Hour+time.Duration(2*i+1)*time.Second, "ctl2")
	}
	if len(s.VIP.Past) != maxPastVIP {
		t.Errorf("%d of the past are kept", len(s.VIP.Past))
	}
}
