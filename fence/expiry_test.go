package fence

import (
	"testing"
	"time"
)

// TestExpiryRefuses: each lack alone is enough.
func TestExpiryRefuses(t *testing.T) {
	zero := time.Unix(1e9, 0)
	end := zero.Add(2 * time.Minute)
	hear := func(c string) Hearing {
		return Hearing{Controller: c, Boot: "b", Start: "s", Heard: zero, Until: end}
	}
	for name, spoil := range map[string]func(c *Covered, hs *[]Hearing, cls *[]Claim){
		"":                            func(*Covered, *[]Hearing, *[]Claim) {},
		"disarmed":                    func(c *Covered, _ *[]Hearing, _ *[]Claim) { c.Armed = false },
		"another boot":                func(c *Covered, _ *[]Hearing, _ *[]Claim) { c.Boot = "a" },
		"its agent started anew":      func(_ *Covered, hs *[]Hearing, _ *[]Claim) { (*hs)[0].Start = "s2" },
		"one controller of three":     func(_ *Covered, hs *[]Hearing, _ *[]Claim) { *hs = (*hs)[:1] },
		"half of the ring":            func(_ *Covered, _ *[]Hearing, cls *[]Claim) { *cls = (*cls)[:2] },
		"leases younger than silence": func(_ *Covered, _ *[]Hearing, cls *[]Claim) { (*cls)[0].From = zero.Add(time.Second) },
		"too early": func(_ *Covered, hs *[]Hearing, _ *[]Claim) {
			(*hs)[0].Until = zero.Add(time.Minute).Add(-15 * time.Second)
		},
	} {
		c := Covered{Boot: "b", Start: "s", Serial: 1, Armed: true, Terms: Terms{Lease: DefaultLease, Timeout: DefaultTimeout, Voters: []string{"c1", "c2", "c3"}, Ring: []string{"h1", "h2", "h3", "h4"}}}
		hs := []Hearing{hear("c1"), hear("c2")}
		cls := []Claim{{"h2", zero, end}, {"h3", zero, end}, {"h4", zero, end}}
		spoil(&c, &hs, &cls)
		e, err := c.Expiry("h1", "b", hs, cls, end)
		if err == nil {
			_, err = Expire("h1", "b", e)
		}
		if (err == nil) != (name == "") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
