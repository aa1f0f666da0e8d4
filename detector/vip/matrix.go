package vip

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Touch is how a target is asked, beyond a connection.
type Touch string

// Touches.
const (
	TouchTCP   Touch = "tcp"   // a connection is enough
	TouchHTTP  Touch = "http"  // GET /: any status below 500
	TouchHTTPS Touch = "https" // the same over TLS, whose certificate nobody checks
	TouchAMQP  Touch = "amqp"  // the protocol's header: the broker answers with a frame
)

// Touches lists them.
var Touches = [...]Touch{TouchTCP, TouchHTTP, TouchHTTPS, TouchAMQP}

// Target is one address and port that hosts need, or that helps to tell why they do
// not reach it.
type Target struct {
	// Service is reached where any of its targets answers: a VIP has one, brokers
	// with addresses of their own have several.
	Service string         `json:"service"`
	Address netip.AddrPort `json:"address"`
	Touch   Touch          `json:"touch"`
	// VIP is the name of the VIP that it is at; empty: it has an address of its own.
	VIP string `json:"vip,omitempty"`
	// Informs says that it is asked to tell paths apart, and fails nobody.
	Informs bool `json:"informs,omitempty"`
}

// List names a list of targets, so that a row is read by the list it is about.
func List(targets []Target) uint32 {
	sum := fnv.New32a()
	for _, t := range targets {
		_, _ = fmt.Fprintf(sum, "%s %s %s %s %t\n", t.Service, t.Address, t.Touch, t.VIP, t.Informs)
	}
	return sum.Sum32()
}

// TargetSum is how all hosts fare with one target.
type TargetSum struct {
	Target
	OK      int `json:"ok"`
	Refused int `json:"refused"`
	Silent  int `json:"silent"`
	Bad     int `json:"bad"`
}

// HostPath is one host's line of the matrix.
type HostPath struct {
	Host  nova.HostName       `json:"host"`
	Age   time.Duration       `json:"age"`
	Words []detector.PathWord `json:"words"`
	Fails []string            `json:"fails,omitempty"`
	// Fresh rows alone are votes.
	Fresh      bool           `json:"fresh"`
	Owners     []detector.MAC `json:"owners,omitempty"`
	Hanging    int            `json:"hanging,omitempty"`
	Peers      int            `json:"peers,omitempty"`
	PeersAsked int            `json:"peers_asked,omitempty"`
	// Neighbours and Connections count what it has mended since its agent started.
	Neighbours  int `json:"neighbours,omitempty"`
	Connections int `json:"connections,omitempty"`
	// Detours are VIPs that it reaches another way now, Routes counts those ways.
	Detours int `json:"detours,omitempty"`
	Routes  int `json:"routes,omitempty"`
}

// Matrix is every host's sight of every target.
type Matrix struct {
	Targets []TargetSum `json:"targets"`
	Hosts   []HostPath  `json:"hosts"`
	// Fresh counts the hosts whose rows are votes, Reaching those of them that reach all.
	Fresh    int `json:"fresh"`
	Reaching int `json:"reaching"`
}

// Failing is the matrix without the hosts that reach all: what a person must see of it.
func (m Matrix) Failing() Matrix {
	m.Hosts = slices.DeleteFunc(slices.Clone(m.Hosts), func(h HostPath) bool { return h.Fresh && len(h.Fails) == 0 })
	return m
}

// Assessment is what the matrix comes to.
type Assessment struct {
	Matrix  Matrix
	Control detector.Control
	Paths   map[nova.HostName]*detector.PathSight
}

// vote is one host's fresh row, by service.
type vote struct {
	host   nova.HostName
	domain detector.Domain
	fails  []string
}

// Assess reads the matrix by the table of docs/vip.md. fresh is the greatest age of
// a row that is a vote. No votes are no evidence: then nothing is held.
func Assess(targets []Target, rows []HostRow, fresh time.Duration) Assessment {
	a := Assessment{Paths: map[nova.HostName]*detector.PathSight{}}
	for _, t := range targets {
		a.Matrix.Targets = append(a.Matrix.Targets, TargetSum{Target: t})
	}
	list := List(targets)
	var votes []vote
	for _, r := range rows {
		if r.Row.List != list || len(r.Row.Words) != len(targets) {
			continue // of another list
		}
		p := HostPath{Host: r.Host, Age: r.Row.Age, Words: r.Row.Words, Fails: failing(targets, r.Row.Words), Fresh: r.Row.Age <= fresh,
			Owners: r.Row.Owners, Hanging: r.Row.Hanging, Peers: r.Row.Peers, PeersAsked: r.Row.PeersAsked,
			Neighbours: r.Row.Neighbours, Connections: r.Row.Connections, Detours: r.Row.Detours, Routes: r.Row.Routes}
		a.Matrix.Hosts = append(a.Matrix.Hosts, p)
		if !p.Fresh {
			continue
		}
		if a.Matrix.Fresh++; len(p.Fails) == 0 {
			a.Matrix.Reaching++
		}
		votes = append(votes, vote{r.Host, r.Domain, p.Fails})
		for i, w := range r.Row.Words {
			a.Matrix.Targets[i].add(w)
		}
	}
	for _, p := range a.Matrix.Hosts {
		if !p.Fresh {
			continue
		}
		others, up := compare(p, votes)
		a.Paths[p.Host] = &detector.PathSight{Age: p.Age, Fails: p.Fails, Others: others, OthersUp: up}
	}
	a.Control = judge(votes)
	return a
}

func (t *TargetSum) add(w detector.PathWord) {
	switch w {
	case detector.PathOK:
		t.OK++
	case detector.PathRefused:
		t.Refused++
	case detector.PathSilent:
		t.Silent++
	default:
		t.Bad++
	}
}

// failing names the services none of whose targets answers well, in order.
func failing(targets []Target, words []detector.PathWord) []string {
	var names []string
	well := map[string]bool{}
	for i, t := range targets {
		if t.Informs {
			continue
		}
		if !slices.Contains(names, t.Service) {
			names = append(names, t.Service)
		}
		well[t.Service] = well[t.Service] || words[i] == detector.PathOK
	}
	return slices.DeleteFunc(names, func(n string) bool { return well[n] })
}

// compare says how many others reach all that this host does not.
func compare(p HostPath, votes []vote) (others, up int) {
	for _, v := range votes {
		if v.host == p.Host {
			continue
		}
		others++
		if !slices.ContainsFunc(p.Fails, func(s string) bool { return slices.Contains(v.fails, s) }) {
			up++
		}
	}
	return others, up
}

// judge is the table: what fails for one domain alone is that domain's, what fails
// for half of the hosts, for every domain or for too many to be chance is the control
// plane's, and the rest are single hosts' own ways.
func judge(votes []vote) detector.Control {
	worst := detector.Control{}
	for _, service := range services(votes) {
		if c := judgeService(service, votes); rank(c) > rank(worst) {
			worst = c
		}
	}
	return worst
}

func rank(c detector.Control) int {
	switch c.Condition {
	case detector.ControlPlaneFault:
		return 2
	case detector.SegmentFault:
		return 1
	default:
		return 0
	}
}

func services(votes []vote) (names []string) {
	for _, v := range votes {
		for _, s := range v.fails {
			if !slices.Contains(names, s) {
				names = append(names, s)
			}
		}
	}
	slices.Sort(names)
	return names
}

func judgeService(service string, votes []vote) detector.Control {
	total, failed := map[detector.Domain]int{}, map[detector.Domain]int{}
	n := 0
	for _, v := range votes {
		total[v.domain]++
		if slices.Contains(v.fails, service) {
			failed[v.domain]++
			n++
		}
	}
	fault := func(why string) detector.Control {
		return detector.Control{Condition: detector.ControlPlaneFault, Reason: detector.ReasonVIPUnreached,
			Detail: fmt.Sprintf("%d of %d hosts do not reach %s: %s", n, len(votes), service, why)}
	}
	switch {
	case 2*n >= len(votes):
		return fault("it is the control plane, not they")
	case len(total) > 1 && len(failed) == len(total):
		return fault("some in every failure domain")
	}
	if domain := only(failed); domain != "" && n > 1 {
		return detector.Control{Condition: detector.SegmentFault, Reason: detector.ReasonVIPDomain, Domains: []detector.Domain{domain},
			Detail: fmt.Sprintf("%d of %d hosts of %s do not reach %s, all others do: rather their switch than they", failed[domain], total[domain], domain, service)}
	}
	if n > 1 && 5*n > len(votes) {
		return fault("too many for single broken ways")
	}
	return detector.Control{}
}

// only names the one domain in which all that fail are, "" where there are several.
func only(failed map[detector.Domain]int) detector.Domain {
	if len(failed) == 1 {
		for d := range failed {
			return d
		}
	}
	return ""
}

// Settle adds to the matrix's word what was found of the addresses: an address that
// two machines have, or nobody, holds everything. Nothing found lifts a hold.
func Settle(c detector.Control, findings []Finding) detector.Control {
	for _, f := range findings {
		switch {
		case f.Kind == NoOwner && c.Condition != detector.ControlPlaneFault:
			c = detector.Control{Condition: detector.ControlPlaneFault, Reason: detector.ReasonVIPNoOwner, Detail: "nobody has " + f.VIP + ": " + strings.Join(f.Evidence, "; ")}
		case f.Holds && c.Condition != detector.ControlPlaneFault:
			c = detector.Control{Condition: detector.ControlPlaneFault, Reason: detector.ReasonBehindVIP, Detail: f.Text()}
		case (f.Kind == Duplicate || f.Kind == RogueMAC) && c.Condition != detector.ControlPlaneFault:
			c = detector.Control{Condition: detector.VIPSplit, Reason: detector.ReasonVIPTwin, Detail: "several machines have " + f.VIP + ": " + strings.Join(f.Evidence, "; ")}
		}
	}
	return c
}

func count(n int, what string) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Reaches says that a row is of these targets, and that no service of theirs fails.
func Reaches(targets []Target, r detector.PathRow) bool {
	return r.List == List(targets) && len(r.Words) == len(targets) && len(failing(targets, r.Words)) == 0
}
