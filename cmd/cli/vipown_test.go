package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

// moving is an API behind which an address moves: what a command begins is done two
// looks later.
type moving struct {
	mu       sync.Mutex
	lease    evacuate.VIPLease
	next     *evacuate.VIPLease
	looks    int
	findings []vip.Finding
	asked    []string
}

func (m *moving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodPost {
		var q api.Command
		_ = json.NewDecoder(r.Body).Decode(&q)
		m.asked = append(m.asked, fmt.Sprintf("%s %s %s", q.Verb, q.Word, q.Address))
		l := evacuate.VIPLease{Holder: "ctl2", Epoch: m.lease.Epoch + 1, Placed: true, Gap: 50 * time.Millisecond}
		if q.Address != "" {
			l.Holder = q.Address
		}
		m.next, m.looks = &l, 0
		if q.Verb == api.VerbVIPAdopt {
			m.lease = evacuate.VIPLease{Holder: "ctl1", Epoch: 1, Adopting: true}
			m.findings = []vip.Finding{{Kind: vip.Duplicate, VIP: "internal"}}
			if q.Word == "broken" {
				m.next = &evacuate.VIPLease{Epoch: 1, Free: true, Why: "not adopted: keepalived was not stopped"}
			}
		}
		_, _ = fmt.Fprint(w, `{"text": "it goes"}`)
		return
	}
	if m.looks++; m.looks > 2 && m.next != nil {
		m.lease, m.next, m.findings = *m.next, nil, nil
	}
	l := m.lease
	_ = json.NewEncoder(w).Encode(api.VIPStatus{Watched: true, Findings: m.findings, VIPs: []api.VIP{{Name: "internal", Lease: &l}, {Name: "broken", Lease: &l}, {Name: "watched"}}})
}

// TestVIPMoves: transfer, drill and adopt wait until the address is there, and tell what
// that cost.
func TestVIPMoves(t *testing.T) {
	for name, c := range map[string]struct {
		args  string
		asked []string
		says  []string
		code  int
	}{
		"transfer":        {"vip transfer internal --to ctl3", []string{"vip-transfer internal ctl3"}, []string{"it goes", "internal is on ctl3; it was on no machine for 50ms"}, 0},
		"drill":           {"vip drill internal --stay 1ms", []string{"vip-transfer internal ", "vip-transfer internal ctl1"}, []string{"internal is on ctl2", "internal is on ctl1"}, 0},
		"adopt":           {"vip adopt internal", []string{"vip-adopt internal "}, []string{"internal is Lifeboat's on ctl2", "seen on two for 400ms"}, 0},
		"adopt in vain":   {"vip adopt broken", []string{"vip-adopt broken "}, []string{"nothing was changed: not adopted: keepalived was not stopped"}, ExitFailed},
		"not Lifeboat's":  {"vip transfer watched", nil, []string{"Lifeboat moves no address \"watched\""}, ExitFailed},
		"what nobody has": {"vip drill nothing", nil, []string{"Lifeboat moves no address"}, ExitFailed},
	} {
		m := &moving{lease: evacuate.VIPLease{Holder: "ctl1", Epoch: 4, Placed: true}}
		srv := httptest.NewServer(m)
		out, errs, code := shellAt(t, srv.URL, Hooks{})(strings.Fields(c.args)...)
		srv.Close()
		if code != c.code || !slices.Equal(m.asked, c.asked) {
			t.Errorf("%s: code %d, asked %q: %s%s", name, code, m.asked, out, errs)
		}
		for _, want := range c.says {
			if !strings.Contains(out+errs, want) {
				t.Errorf("%s does not say %q: %s%s", name, want, out, errs)
			}
		}
	}
}
