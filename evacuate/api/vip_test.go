package api

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// splitVIP is one address that two controllers have, and a host that does not reach it.
func splitVIP() VIPStatus {
	target := vip.TargetSum{Target: vip.Target{Service: "nova", Address: netip.MustParseAddrPort("10.0.0.100:8774"), Touch: vip.TouchHTTP, VIP: "internal"}, OK: 1, Silent: 1}
	return VIPStatus{Watched: true, VIPs: []VIP{{Name: "internal", Address: netip.MustParseAddr("10.0.0.100"), Owner: "ctl1+ctl2", Moves: 3, Lease: &evacuate.VIPLease{Holder: "ctl1", Epoch: 4, Gap: 50 * time.Millisecond}}},
		Control:  detector.Control{Condition: detector.VIPSplit, Reason: detector.ReasonVIPTwin, Detail: "two"},
		Findings: []vip.Finding{{Kind: vip.Duplicate, VIP: "internal", Nodes: []string{"ctl1", "ctl2"}, Evidence: []string{"both"}, Since: start, Do: "look", Runbook: "docs/vip.md#duplicate"}},
		Past:     []evacuate.VIPFinding{{Kind: "no-owner", VIP: "internal", Since: start, Ended: start}},
		Matrix: vip.Matrix{Targets: []vip.TargetSum{target}, Hosts: []vip.HostPath{{Host: "cmp1", Words: []detector.PathWord{detector.PathOK}, Fresh: true},
			{Host: "cmp2", Words: []detector.PathWord{detector.PathSilent}, Fails: []string{"nova"}, Fresh: true}}},
		Sights: []vip.Sight{{Controller: "ctl1", Cannot: []string{"census of internal: no"}, VIPs: []vip.AddressSight{{Name: "internal", Own: &vip.OwnWord{OwnState: vip.OwnState{Phase: vip.OwnHeld, Epoch: 4}}}}},
			{Controller: "ctl2", VIPs: []vip.AddressSight{{Name: "internal", Own: &vip.OwnWord{OwnState: vip.OwnState{Phase: vip.OwnNone}, Fit: vip.Fitness{Not: "no carrier"}}}}}}}
}

func TestVIP(t *testing.T) {
	f := newFake()
	f.vip = splitVIP()
	o := options(f)
	if a := ask(t, serve(t, o), http.MethodGet, "/v1/vip", readToken, ""); a.code != http.StatusNotFound {
		t.Errorf("not served: %d %s", a.code, a.body)
	}
	o.VIP = func() VIPStatus { return f.vip }
	a := ask(t, serve(t, o), http.MethodGet, "/v1/vip", readToken, "")
	body := strings.NewReplacer(" ", "", "\n", "").Replace(a.body)
	for _, want := range []string{`"owner":"ctl1+ctl2"`, `"kind":"duplicate"`, `"silent"`, `"runbook":"docs/vip.md#duplicate"`, `"condition":"VIPSplit"`} {
		if a.code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d: no %s in %s", a.code, want, a.body)
		}
	}
	if a := ask(t, serve(t, o), http.MethodGet, "/v1/vip?matrix=failing", readToken, ""); strings.Contains(a.body, "cmp1") || !strings.Contains(a.body, "cmp2") || len(f.vip.Matrix.Hosts) != 2 {
		t.Errorf("only hosts that do not reach all: %s", a.body)
	}
	series := scrape(t, f, meter(t, f, nil))
	for name, want := range map[string]string{
		`lifeboat_vip_owner_info{owner="ctl1+ctl2",vip="internal"}`: "1",
		`lifeboat_vip_finding{finding="duplicate",vip="internal"}`:  "1",
		`lifeboat_vip_finding{finding="orphan",vip="internal"}`:     "0",
		`lifeboat_vip_moves_total{vip="internal"}`:                  "3",
		`lifeboat_vip_unreached_hosts{service="nova"}`:              "1",
		`lifeboat_vip_watch_degraded{controller="ctl1"}`:            "1",
		`lifeboat_vip_lease_info{holder="ctl1",vip="internal"}`:     "1",
		`lifeboat_vip_able{controller="ctl1",vip="internal"}`:       "1",
		`lifeboat_vip_able{controller="ctl2",vip="internal"}`:       "0",
		`lifeboat_vip_last_move_gap_seconds{vip="internal"}`:        "0.05",
	} {
		if series[name] != want {
			t.Errorf("%s is %q, want %s", name, series[name], want)
		}
	}
	f.status.Leads = false
	for name := range scrape(t, f, meter(t, f, nil)) {
		if strings.HasPrefix(name, "lifeboat_vip") {
			t.Errorf("a follower tells %s", name)
		}
	}
}
