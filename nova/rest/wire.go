package rest

import (
	"encoding/json"
	"time"
)

// stamp reads Nova's times: all UTC, most without saying so ("2026-11-21T05:00:00.000000"),
// some with a Z, and null for never.
type stamp struct{ time.Time }

func (s *stamp) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil || text == "" {
		return err // null leaves text empty
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05.999999999", text)
	}
	if err != nil {
		t, err = time.Parse("2006-01-02 15:04:05.999999999", text)
	}
	s.Time = t.UTC()
	return err
}

// link is one entry of a collection's links. Only its presence is used: the
// address in it is the public one, which may be the VIP that is gone.
type link struct {
	Rel string `json:"rel"`
}

func hasNext(links []link) bool {
	for _, l := range links {
		if l.Rel == "next" {
			return true
		}
	}
	return false
}

// attribute tells an attribute that is null from one that policy left out.
type attribute struct {
	shown bool
	value string
}

func (a *attribute) UnmarshalJSON(raw []byte) error {
	a.shown = true
	return json.Unmarshal(raw, &a.value) // null leaves the value empty
}

// count is a number that is nought where it is written in another way: Nova's sizes
// had "" for no swap (until 2.75), and a size is no reason to lose a list of servers.
type count int

func (n *count) UnmarshalJSON(b []byte) error {
	var i int
	if json.Unmarshal(b, &i) != nil {
		i = 0
	}
	*n = count(i)
	return nil
}
