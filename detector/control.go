package detector

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// PathWord is what a host's last question to one target of the control plane came
// to: two bits of its heartbeat.
type PathWord uint8

// Path words.
const (
	PathOK      PathWord = iota
	PathRefused          // a kernel there said no: the machine lives, the service does not
	PathSilent           // no answer in time, or no way there
	PathBad              // connected, and no sensible word came back
)

var pathWords = [...]string{"ok", "refused", "silent", "bad"}

func (w PathWord) String() string { return pathWords[w&3] }

// MarshalText gives the word.
func (w PathWord) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads a word.
func (w *PathWord) UnmarshalText(b []byte) error {
	i := slices.Index(pathWords[:], string(b))
	if i < 0 {
		return fmt.Errorf("no word of a path: %q", b)
	}
	*w = PathWord(i)
	return nil
}

// MAC is an Ethernet address; the zero value is none.
type MAC [6]byte

func (m MAC) String() string {
	if m == (MAC{}) {
		return ""
	}
	parts := make([]string, 0, len(m))
	for _, b := range m {
		parts = append(parts, hex.EncodeToString([]byte{b}))
	}
	return strings.Join(parts, ":")
}

// MarshalText gives the usual form with colons.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the usual form with colons; empty is none.
func (m *MAC) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*m = MAC{}
		return nil
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(string(b), ":", ""))
	if err != nil || len(raw) != len(m) {
		return fmt.Errorf("no Ethernet address: %q", b)
	}
	copy(m[:], raw)
	return nil
}

// Limits of a row, so that it fits a heartbeat.
const (
	MaxPathTargets = 64
	MaxPathOwners  = 8
)

// PathRow is one host's sight of the control plane: a word for each target of the
// list that it was given.
type PathRow struct {
	// List names the list of targets; words of another list say nothing.
	List  uint32     `json:"list"`
	Words []PathWord `json:"words"`
	// Age is how long ago it last asked.
	Age time.Duration `json:"age"`
	// Owners are the machines that its neighbour table names for each VIP; zero:
	// it has no entry, or the VIP is behind a router.
	Owners []MAC `json:"owners,omitempty"`
	// Hanging counts its connections to a VIP that hang since the VIP moved.
	Hanging int `json:"hanging,omitempty"`
	// Peers reach what this host does not, as it asked so many before it said so.
	Peers      int `json:"peers,omitempty"`
	PeersAsked int `json:"peers_asked,omitempty"`
	// Neighbours and Connections count its repairs since its agent started.
	Neighbours  int `json:"neighbours,omitempty"`
	Connections int `json:"connections,omitempty"`
	// Detours are VIPs that it reaches another way now, Routes counts how often it took
	// one since its agent started.
	Detours int `json:"detours,omitempty"`
	Routes  int `json:"routes,omitempty"`
}

// Fails says that some target does not answer well.
func (r PathRow) Fails() bool {
	return slices.ContainsFunc(r.Words, func(w PathWord) bool { return w != PathOK })
}

// PathSight is what the matrix of all rows says of one host (detector/vip).
type PathSight struct {
	Age time.Duration `json:"age"`
	// Fails names the services that it does not reach, OthersUp of Others do.
	Fails    []string `json:"fails,omitempty"`
	Others   int      `json:"others"`
	OthersUp int      `json:"others_up"`
}

// alone says that the host fails where at least four of five others do not.
func (s *PathSight) alone(fresh time.Duration) bool {
	return s != nil && s.Age <= fresh && len(s.Fails) > 0 && s.Others > 0 && 5*s.OthersUp >= 4*s.Others
}

// Control is what is known of the control plane's address, for the whole cloud: the
// matrix of all hosts and what was found of the address (detector/vip). It can only
// hold: the zero value says nothing.
type Control struct {
	// Condition is ControlPlaneFault, VIPSplit or SegmentFault; empty: well, or not
	// watched.
	Condition Condition `json:"condition,omitempty"`
	Reason    Reason    `json:"reason,omitempty"`
	Detail    string    `json:"detail,omitempty"`
	// Domains are those that a SegmentFault is about.
	Domains []Domain `json:"domains,omitempty"`
}

// pathSeen is a host's last row.
type pathSeen struct {
	row PathRow
	at  time.Time // when it last asked
	// told is when it said so: what it says of its kernel is of then.
	told time.Time
}

// notePath takes a row unless a newer one is there.
func (h *hostSeen) notePath(row *PathRow, at time.Time) {
	if row == nil {
		return
	}
	if asked := at.Add(-row.Age); h.path == nil || !h.path.at.After(asked) {
		h.path = &pathSeen{row: *row, at: asked, told: at}
	}
}

// AgedPath is a host's last row, with its age on this table's clock.
type AgedPath struct {
	Host   nova.HostName
	Domain Domain
	Row    PathRow
	// Told is how long ago the host said so.
	Told time.Duration
}

// Paths gives every host's last row, in order.
func (t *Table) Paths(now time.Time) []AgedPath {
	var all []AgedPath
	for name, h := range t.hosts {
		if h.path == nil {
			continue
		}
		p := AgedPath{Host: name, Domain: h.domain, Row: h.path.row, Told: now.Sub(h.path.told)}
		p.Row.Age = now.Sub(h.path.at)
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b AgedPath) int { return strings.Compare(string(a.Host), string(b.Host)) })
	return all
}

// failing is a host's row for a report to the leader, which may not hear the host
// itself, with its age as the host was heard; nil where there is nothing to tell.
func (h *hostSeen) failing(heard, now time.Time, fresh time.Duration) *PathRow {
	if h == nil || h.path == nil || now.Sub(h.path.at) > fresh || !h.path.row.Fails() {
		return nil
	}
	row := h.path.row
	row.Age = max(heard.Sub(h.path.at), 0)
	return &row
}
