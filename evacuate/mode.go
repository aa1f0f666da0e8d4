package evacuate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Mode is how far Lifeboat may go.
type Mode string

// Modes, the most careful first. Auto acts, approve acts on what a person
// approved, shadow records what it would have done, observe tells, off is silent.
const (
	ModeOff     Mode = "off"
	ModeObserve Mode = "observe"
	ModeShadow  Mode = "shadow"
	ModeApprove Mode = "approve"
	ModeAuto    Mode = "auto"
)

// Inherit takes a host's or an aggregate's own mode away.
const Inherit = "inherit"

// Modes lists all modes, the most careful first.
var Modes = [...]Mode{ModeOff, ModeObserve, ModeShadow, ModeApprove, ModeAuto}

// ParseMode checks a mode's name.
func ParseMode(s string) (Mode, error) {
	if m := Mode(s); slices.Contains(Modes[:], m) {
		return m, nil
	}
	return "", fmt.Errorf("unknown mode %q: use off, observe, shadow, approve or auto", s)
}

// Acts says that the world may be written to at all.
func (m Mode) Acts() bool { return m == ModeApprove || m == ModeAuto }

// Mark is who did something, when and why. Says is the client's word for who
// sits before it, which nobody has checked.
type Mark struct {
	By     string    `json:"by"`
	Says   string    `json:"says,omitempty"`
	At     time.Time `json:"at,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

func (e Entry) mark() Mark { return Mark{By: e.By, Says: e.Says, At: e.At, Reason: e.Text} }

func (m Mark) String() string { return m.who() + because(m.Reason) }

// When names who, when and why.
func (m Mark) When() string {
	at := ""
	if !m.At.IsZero() {
		at = m.At.UTC().Format(" at 2006-01-02 15:04:05")
	}
	return m.who() + at + because(m.Reason)
}

func (m Mark) who() string {
	if m.Says != "" && m.Says != m.By {
		return fmt.Sprintf("%s (client says %q)", m.By, m.Says)
	}
	return m.By
}

// Setting is a mode that somebody set.
type Setting struct {
	Mode Mode `json:"mode"`
	Mark
}

// ModeSource is one setting that applies to a host, and where it stands:
// "cloud", "host", or "aggregate NAME".
type ModeSource struct {
	Scope string `json:"scope"`
	Setting
}

// Effective is the mode in force for a host: the most careful of all that apply.
type Effective struct {
	Mode    Mode         `json:"mode,omitempty"`
	Sources []ModeSource `json:"sources,omitempty"` // the most careful first
}

// configured is who set a mode that stands in the controllers' files.
const configured = "the configuration"

// Membership is which aggregates a host is in. Unknown means that Nova has not
// told: every aggregate's mode applies then.
type Membership struct {
	Names   []string
	Unknown bool
}

// Membership is a host's, as Nova last told.
func (w *World) Membership(host nova.HostName) Membership {
	return Membership{Names: w.Aggregates[host], Unknown: w.Aggregates == nil}
}

// EffectiveMode gives the mode in force for a host in these aggregates. Files
// are the aggregates' modes of the configuration.
func (s *State) EffectiveMode(host nova.HostName, in Membership, files map[string]Mode) Effective {
	all := []ModeSource{{"cloud", s.CloudMode()}}
	names := slices.Clone(in.Names)
	if in.Unknown {
		names = slices.AppendSeq(names, maps.Keys(s.AggregateModes))
		names = slices.AppendSeq(names, maps.Keys(files))
	}
	slices.Sort(names)
	for _, a := range slices.Compact(names) {
		if set := s.AggregateModes[a]; set != nil {
			all = append(all, ModeSource{"aggregate " + a, *set})
		}
		if m, ok := files[a]; ok {
			all = append(all, ModeSource{"aggregate " + a, Setting{m, Mark{By: configured}}})
		}
	}
	if h := s.Hosts[host]; h != nil && h.Mode != nil {
		all = append(all, ModeSource{"host", *h.Mode})
	}
	slices.SortStableFunc(all, func(a, b ModeSource) int {
		return cmp.Compare(slices.Index(Modes[:], a.Mode), slices.Index(Modes[:], b.Mode))
	})
	return Effective{Mode: all[0].Mode, Sources: all}
}

// CloudMode is the mode of the whole cloud, and who set it.
func (s *State) CloudMode() Setting {
	return Setting{s.Mode, Mark{By: s.ModeBy, Says: s.ModeSays, At: s.ModeAt, Reason: s.ModeReason}}
}

// String names the setting that won.
func (x Effective) String() string {
	if len(x.Sources) == 0 {
		return "not known"
	}
	return x.Sources[0].String()
}

func (s ModeSource) String() string {
	mode := string(s.Mode)
	if s.Scope != "cloud" {
		mode += " for the " + s.Scope
	}
	if s.By == "" {
		return orWord(mode, "not set")
	}
	return fmt.Sprintf("%s (set by %s)", mode, s.When())
}

// Text lists every setting that applies.
func (x Effective) Text() string {
	lines := make([]string, 0, len(x.Sources))
	for _, s := range x.Sources {
		lines = append(lines, fmt.Sprintf("  %-22s %s", s.Scope, s))
	}
	return strings.Join(lines, "\n")
}

// setMode sets the mode of the cloud, of an aggregate or of a host.
func (s *State) setMode(e Entry) error {
	var set *Setting
	if e.Word != Inherit {
		m, err := ParseMode(e.Word)
		if err != nil {
			return err
		}
		set = &Setting{m, e.mark()}
	}
	scope := "the cloud"
	switch {
	case e.Host != "" && e.Aggregate != "":
		return fmt.Errorf("a mode is for a host or for an aggregate, not for both")
	case e.Host != "":
		scope = "host " + string(e.Host)
		s.host(e.Host).Mode = set
	case e.Aggregate != "":
		scope = "aggregate " + e.Aggregate
		if s.AggregateModes == nil {
			s.AggregateModes = map[string]*Setting{}
		}
		if s.AggregateModes[e.Aggregate] = set; set == nil {
			delete(s.AggregateModes, e.Aggregate)
		}
	case set == nil:
		return fmt.Errorf("the cloud inherits from nothing: use off, observe, shadow, approve or auto")
	default:
		s.Mode, s.ModeBy, s.ModeSays, s.ModeAt, s.ModeReason = set.Mode, e.By, e.Says, e.At, e.Text
	}
	s.journal(e, "mode of %s: %s%s", scope, e.Word, because(e.Text))
	return nil
}

// maxJournal bounds the journal of what concerns more than one recovery.
const maxJournal = 300

// journal notes what somebody did to the whole.
func (s *State) journal(e Entry, format string, args ...any) {
	s.Journal = append(s.Journal, Event{At: e.At, By: e.By, Says: e.Says, Host: e.Host, Text: fmt.Sprintf(format, args...)})
	if n := len(s.Journal); n > maxJournal {
		s.Journal = slices.Delete(s.Journal, 0, n-maxJournal)
	}
}

func (q question) mode() Effective {
	return q.state.EffectiveMode(q.host, q.world.Membership(q.host), q.policy.AggregateModes)
}

// askArmed: at evacuate the approval lies behind us, but a mode that only
// watches stops even what is open (rule 12).
func askArmed(q question) (Standing, string) {
	m := q.mode()
	switch {
	case m.Mode == ModeAuto:
		return Met, "mode is auto"
	case m.Mode == ModeApprove && q.point == AtEvacuate:
		return Met, "mode is approve, and its fencing was permitted"
	case m.Mode == ModeApprove && q.recovery != nil && q.recovery.Refence:
		return Met, "mode is approve; the host came on inside its recovery"
	case m.Mode == ModeApprove:
		return Held, fmt.Sprintf("mode is %s: it asks", m)
	}
	return Held, fmt.Sprintf("mode is %s; it only watches", m)
}

// mode is the mode in force for a host.
func (c *Core) mode(host nova.HostName) Effective {
	return c.state.EffectiveMode(host, c.world.Membership(host), c.policy.AggregateModes)
}

// halted says that nothing may be written for a host, whatever is open.
func (c *Core) halted(host nova.HostName) bool {
	return c.state.Frozen || c.world.Frozen != "" || !c.mode(host).Mode.Acts()
}

// halts says of an action that is about to write whether the ledger has halted
// it since it was decided.
func (s *State) halts(a Action, r *Recovery) error {
	if s.Frozen {
		return fmt.Errorf("frozen by %s", s.frozenBy())
	}
	host, in := r.Host, Membership{Names: r.Aggregates}
	if a.Shield != "" {
		host, in = a.Shield, Membership{}
	}
	m := s.EffectiveMode(host, in, nil)
	asks := m.Mode == ModeApprove && (a.Step == StepFence || a.Step == StepFenceStorage) && r.Approval == nil && !r.Refence
	if !m.Mode.Acts() || asks {
		return fmt.Errorf("the mode of %s is %s", host, m)
	}
	return nil
}

// PermitsNow is what a controller asks last before it writes: the ledger, its
// own freeze file, and the modes of aggregates as Nova and its file have them.
func PermitsNow(s *State, w *World, p Policy, a Action) error {
	if w.Frozen != "" {
		return fmt.Errorf("frozen by a local file: %s", w.Frozen)
	}
	host := a.Host
	if a.Shield != "" {
		host = a.Shield
	}
	if m := s.EffectiveMode(host, w.Membership(host), p.AggregateModes); !m.Mode.Acts() {
		return fmt.Errorf("the mode of %s is %s", host, m)
	}
	if m := s.EffectiveMode(host, w.Membership(host), p.AggregateModes); a.Step.guestStep() && m.Mode != ModeAuto {
		return fmt.Errorf("the mode of %s is %s", host, m)
	}
	if a.Step == StepEvacuate || a.Step == StepReset {
		if why := copied(s, w.Guests, a.Server, a.Host); why != "" {
			return fmt.Errorf("%s: %s", a.Server, why)
		}
	}
	return s.Permits(a)
}
