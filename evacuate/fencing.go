package evacuate

import (
	"fmt"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// FenceTest is what each fencing method of a host answers when it is asked on
// purpose. Nothing is commanded for it.
type FenceTest struct {
	Host nova.HostName `json:"host"`
	At   time.Time     `json:"at"`
	// By is the controller that asked: another may not reach what this one does.
	By string `json:"by"`
	// Heard is how long ago the host's agent was heard; negative: never.
	Heard   time.Duration `json:"heard"`
	Methods []MethodTest  `json:"methods"`
	// Storage is what the program that takes storage away says of the host; nil: it is
	// not called for it.
	Storage *StorageTest `json:"storage,omitempty"`
	// Gate is the answer of the gate fenceable after this.
	Gate Answer `json:"gate"`
}

// StorageTest is what the program that takes a host's storage away says of it.
type StorageTest struct {
	Program string `json:"program"`
	Gone    bool   `json:"gone"`
	// Failed is why it says neither, Asking how long it took.
	Failed string        `json:"failed,omitempty"`
	Asking time.Duration `json:"asking,omitempty"`
	// At is when it was asked.
	At time.Time `json:"at,omitzero"`
}

// sayStorage is what ails the program that takes the host's storage away, as preflight
// found it. Power is cut and the host disabled without it, so it shuts no gate; but where
// it is required, nothing is moved before it has answered.
func (f Fencing) sayStorage(p Policy, now time.Time) string {
	ill := f.StorageCheck.Fault()
	if ill == "" {
		return ""
	}
	text := fmt.Sprintf("; storage by %s: %s (asked %s ago)", f.StorageCheck.Program, ill, round(now.Sub(f.StorageCheck.At)))
	if p.Proofs.Storage != StorageOptional && f.StorageCheck.Failed != "" {
		text += ": if the host died now, nothing would be moved before it tells"
	}
	return text
}

// Fault is what is wrong with it while the host lives; nil: it was not asked.
func (s *StorageTest) Fault() string {
	switch {
	case s == nil:
	case s.Failed != "":
		return "it does not tell: " + s.Failed
	case s.Gone:
		return "the host's storage is taken away, and no recovery waits for that: give it back by hand, or see why"
	}
	return ""
}

// MethodTest is what one method answers.
type MethodTest struct {
	LinkStanding
	Reading fence.Reading `json:"reading"`
	// Said is what its device says of the machine, Asking how long that took, and
	// Failed why it says nothing.
	Said   fence.Identity `json:"said,omitzero"`
	Asking time.Duration  `json:"asking,omitempty"`
	Failed string         `json:"failed,omitempty"`
	// Needs is how long a proof takes at this pace; 0: it does not tell the power.
	Needs time.Duration `json:"needs,omitempty"`
	// Faults is all that is wrong with it.
	Faults []string `json:"faults,omitempty"`
}

// Finish judges what was found: the host is heard, or not, as of At.
func (t *FenceTest) Finish() {
	for i := range t.Methods {
		m := &t.Methods[i]
		if m.Reading.Power != fence.Unknown {
			m.Needs = fence.Needs(m.Reading.Ended.Sub(m.Reading.Began))
		}
		m.Faults = m.LinkStanding.faults(t.At)
		if m.Reading.Power == fence.Off && t.Heard >= 0 && t.Heard < drillHeard {
			m.Faults = append(m.Faults, "it reads off, and the host's agent is heard: it lies, or switches another machine")
		}
		if !m.Usable {
			m.Faults = append(m.Faults, "it is not used: "+m.Why)
		}
		if m.Failed != "" && m.Reading.Power != fence.Unknown {
			m.Faults = append(m.Faults, "it tells no identity: "+m.Failed)
		}
	}
}

// Good says that nothing is wrong with any method.
func (t FenceTest) Good() bool {
	for _, m := range t.Methods {
		if len(m.Faults) > 0 {
			return false
		}
	}
	return t.Gate.Pass && (t.Storage == nil || t.Storage.Fault() == "")
}

// Text prints a test for a person.
func (t FenceTest) Text() string {
	var b strings.Builder
	heard := "its agent was never heard"
	if t.Heard >= 0 {
		heard = fmt.Sprintf("its agent was heard %s ago", round(t.Heard))
	}
	fmt.Fprintf(&b, "%s, asked by %s; %s\n", t.Host, t.By, heard)
	for i, m := range t.Methods {
		r := m.Reading
		fmt.Fprintf(&b, "\n%d %s  %s\n", i+1, m.Method, m.Target)
		fmt.Fprintf(&b, "  power        %s%s in %s: %s\n", r.Power, spaced(string(r.Cause)), r.Ended.Sub(r.Began).Round(10*time.Millisecond), r.Raw)
		for _, p := range r.Parts {
			fmt.Fprintf(&b, "    %-10s %s%s: %s\n", p.Method, p.Power, spaced(string(p.Cause)), p.Raw)
		}
		fmt.Fprintf(&b, "  machine      %s: %s\n", m.Match, m.Why)
		if m.Said.Known() {
			fmt.Fprintf(&b, "  says         %s, in %s\n", m.Said, m.Asking.Round(10*time.Millisecond))
		}
		if m.Needs > 0 {
			fmt.Fprintf(&b, "  proof        within some %s at this pace; budget %s\n", round(m.Needs), m.Budget)
		}
		if e := m.Check.Expires; !e.IsZero() {
			fmt.Fprintf(&b, "  certificate  until %s, %d days\n", e.UTC().Format(time.DateOnly), int(e.Sub(t.At)/(24*time.Hour)))
		}
		for _, f := range m.Faults {
			fmt.Fprintf(&b, "  WRONG        %s\n", f)
		}
	}
	if s := t.Storage; s != nil {
		fmt.Fprintf(&b, "\nstorage %s  in %s: %s\n", s.Program, s.Asking.Round(10*time.Millisecond), map[bool]string{true: "taken away", false: "the host has it"}[s.Gone])
		if f := s.Fault(); f != "" {
			fmt.Fprintf(&b, "  WRONG        %s\n", f)
		}
	}
	fmt.Fprintf(&b, "\ngate fenceable: %s: %s\n", t.Gate.word(), t.Gate.Reason)
	return b.String()
}

// Drills is what the ledger knows of a host's drills.
type Drills struct {
	Host     nova.HostName `json:"host"`
	Drilling *Drilling     `json:"drilling,omitempty"`
	Drills   []Drill       `json:"drills,omitempty"`
}

// DrillCase puts a drill before the person who is about to begin it.
func DrillCase(host nova.HostName, link int, s *State, w World) string {
	var b strings.Builder
	l := Standings(host, s.Hosts[host], w.Fencing[host], s.Register())[link]
	fmt.Fprintf(&b, "%s, boot %s: in maintenance, its nova-compute disabled, no instance on it, its agent heard\n", host, w.Heard[host].Boot)
	fmt.Fprintf(&b, "  method %d: %s %s\n  which machine it switches: %s: %s\n\n", link+1, l.Method, l.Target, l.Match, l.Why)
	fmt.Fprintf(&b, "It is powered off, must read off twice and fall silent, is powered on again, and must come back with another boot id.\n")
	if l.Match != fence.Same {
		fmt.Fprintf(&b, "This method cannot say whose machine it switches. If `hosts` is wrong, ANOTHER MACHINE LOSES ITS POWER, with the\n"+
			"instances on it: look at the cable or the outlet first. If %s is heard all the while, power is switched on again at once.\n", host)
	}
	return b.String()
}
