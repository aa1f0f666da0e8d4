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

// VIPRecord is what the leader found of the control plane's addresses. It is told and
// remembered; nothing is ever fenced for it (gate control-plane).
type VIPRecord struct {
	// Owners is who has each address, by its name.
	Owners   map[string]string `json:"owners,omitempty"`
	Findings []VIPFinding      `json:"findings,omitempty"`
	// Past are findings that are over, the newest last.
	Past []VIPFinding `json:"past,omitempty"`
	// Paths are the hosts that do not reach all of the control plane, by host, MostPaths of
	// them at most; Unreached counts them all. They are written as they change.
	Paths     []VIPPath `json:"paths,omitempty"`
	Unreached int       `json:"unreached,omitempty"`
	// Moves counts changes of an owner, by the address's name.
	Moves map[string]int `json:"moves,omitempty"`
}

// VIPPath is one host's line of the matrix, where something fails.
type VIPPath struct {
	Host nova.HostName `json:"host"`
	// Fails are the targets that do not answer it well: service, address and word.
	Fails []string  `json:"fails"`
	Since time.Time `json:"since"`
}

func (p VIPPath) is(q VIPPath) bool { return p.Host == q.Host && slices.Equal(p.Fails, q.Fails) }

// MostPaths bounds the hosts of the matrix that the ledger keeps: more are no single
// hosts' fault.
const MostPaths = 100

// notePaths takes an entry's matrix in place of the former, and journals the changes.
func (s *State) notePaths(e Entry, old, next *VIPRecord) {
	next.Paths, next.Unreached = nil, e.VIP.Unreached
	var all []string
	for _, p := range e.VIP.Paths[:min(len(e.VIP.Paths), MostPaths)] {
		i := slices.IndexFunc(old.Paths, p.is)
		if i < 0 {
			p.Since = e.At
			all = append(all, fmt.Sprintf("%s does not reach %s", p.Host, strings.Join(p.Fails, ", ")))
		} else {
			p.Since = old.Paths[i].Since
		}
		next.Paths = append(next.Paths, p)
	}
	for _, p := range old.Paths {
		if !slices.ContainsFunc(next.Paths, func(q VIPPath) bool { return q.Host == p.Host }) && next.Unreached <= len(next.Paths) {
			all = append(all, fmt.Sprintf("%s reaches all of the control plane again, after %s", p.Host, round(e.At.Sub(p.Since))))
		}
	}
	const most = 5
	if n := len(all); n > most {
		all = append(all[:most], fmt.Sprintf("and %d more", n-most))
	}
	if len(all) > 0 {
		s.journal(e, "%s", strings.Join(all, "; "))
	}
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
	s.notePaths(e, old, next)
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

// Unreaching is the matrix as it was written last.
func (r *VIPRecord) Unreaching() ([]VIPPath, int) {
	if r == nil {
		return nil, 0
	}
	return r.Paths, r.Unreached
}

// Same says that an entry of r would tell nothing new.
func (r *VIPRecord) Same(owners map[string]string, findings []VIPFinding, paths []VIPPath, unreached int) bool {
	if r == nil {
		return len(findings) == 0 && len(owners) == 0 && unreached == 0
	}
	return maps.Equal(r.Owners, owners) && r.Unreached == unreached && slices.EqualFunc(r.Paths, paths, VIPPath.is) && len(r.Findings) == len(findings) && !slices.ContainsFunc(findings, func(f VIPFinding) bool {
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
