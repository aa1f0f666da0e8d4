package evacuate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// VIPRecord is what the leader found of the control plane's addresses. It is told and
// remembered; nothing is ever fenced for it (gate control-plane).
type VIPRecord struct {
	// Owners is who has each address, by its name.
	Owners   map[string]string `json:"owners,omitempty"`
	Findings []VIPFinding      `json:"findings,omitempty"`
	// Past are findings that are over, the newest last.
	Past []VIPFinding `json:"past,omitempty"`
	// Moves counts changes of an owner, by the address's name.
	Moves map[string]int `json:"moves,omitempty"`
}

// VIPFinding is one thing that is or was wrong with one address (detector/vip).
type VIPFinding struct {
	Kind     string    `json:"kind"`
	VIP      string    `json:"vip"`
	Nodes    []string  `json:"nodes,omitempty"`
	Evidence []string  `json:"evidence,omitempty"`
	Since    time.Time `json:"since"`
	Ended    time.Time `json:"ended,omitzero"`
	Do       string    `json:"do,omitempty"`
	Runbook  string    `json:"runbook,omitempty"`
}

func (f VIPFinding) is(g VIPFinding) bool { return f.Kind == g.Kind && f.VIP == g.VIP }

// Text is the finding on one line.
func (f VIPFinding) Text() string {
	return fmt.Sprintf("%s of the address %s: %s", f.Kind, f.VIP, strings.Join(f.Evidence, "; "))
}

// maxPastVIP is how many findings of the past are remembered.
const maxPastVIP = 50

// noteVIP takes the findings of an entry in place of the former, and journals what
// is new and what is over. A finding keeps the time when it was first found.
func (s *State) noteVIP(e Entry) {
	old := s.VIP
	if old == nil {
		old = &VIPRecord{}
	}
	next := &VIPRecord{Owners: e.VIP.Owners, Past: slices.Clone(old.Past), Moves: maps.Clone(old.Moves)}
	for _, name := range slices.Sorted(maps.Keys(next.Owners)) {
		if was, now := old.Owners[name], next.Owners[name]; was != now {
			s.journal(e, "the address %s is at %s, was at %s", name, orWord(now, "nobody"), orWord(was, "nobody"))
			if was != "" {
				if next.Moves == nil {
					next.Moves = map[string]int{}
				}
				next.Moves[name]++
			}
		}
	}
	for _, f := range e.VIP.Findings {
		i := slices.IndexFunc(old.Findings, f.is)
		if i < 0 {
			s.journal(e, "found %s", f.Text())
		} else {
			f.Since = old.Findings[i].Since
		}
		next.Findings = append(next.Findings, f)
	}
	slices.SortFunc(next.Findings, func(a, b VIPFinding) int {
		return cmp.Or(strings.Compare(a.VIP, b.VIP), strings.Compare(a.Kind, b.Kind))
	})
	for _, f := range old.Findings {
		if !slices.ContainsFunc(next.Findings, f.is) {
			f.Ended = e.At
			next.Past = append(next.Past, f)
			s.journal(e, "%s of the address %s is over after %s", f.Kind, f.VIP, round(e.At.Sub(f.Since)))
		}
	}
	if e.Text != "" {
		s.journal(e, "%s", e.Text)
	}
	next.Past = next.Past[max(0, len(next.Past)-maxPastVIP):]
	s.VIP = next
}

// Same says that an entry of r would tell nothing new.
func (r *VIPRecord) Same(owners map[string]string, findings []VIPFinding) bool {
	if r == nil {
		return len(findings) == 0 && len(owners) == 0
	}
	return maps.Equal(r.Owners, owners) && len(r.Findings) == len(findings) && !slices.ContainsFunc(findings, func(f VIPFinding) bool {
		i := slices.IndexFunc(r.Findings, f.is)
		return i < 0 || !slices.Equal(r.Findings[i].Nodes, f.Nodes)
	})
}

// vipNotices tell of each finding, and of its end.
func vipNotices(r *VIPRecord, add func(Notice)) {
	if r == nil {
		return
	}
	for _, f := range slices.Concat(r.Past, r.Findings) {
		n := Notice{Kind: NoticeVIP, ID: fmt.Sprintf("vip/%s/%s/%d/found", f.VIP, f.Kind, f.Since.Unix()), Event: "found", At: f.Since,
			Text: fmt.Sprintf("%s. To do: %s (%s)", f.Text(), f.Do, f.Runbook)}
		add(n)
		if !f.Ended.IsZero() {
			n.ID, n.Event, n.At = fmt.Sprintf("vip/%s/%s/%d/over", f.VIP, f.Kind, f.Since.Unix()), "over", f.Ended
			n.Text = fmt.Sprintf("%s of the address %s is over after %s", f.Kind, f.VIP, round(f.Ended.Sub(f.Since)))
			add(n)
		}
	}
}
