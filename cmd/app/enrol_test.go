package app

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

func TestEnrol(t *testing.T) {
	onSite(t, func(s *site) {
		cfg := s.agentOf(1)
		if err := s.seams().Enrol(s.Context(), cfg, ctlAt, s.token("cmp1")); err != nil {
			t.Fatal(err)
		}
		id, err := identity.Load(cfg.DataDir)
		if err != nil || id.Host != "cmp1" || id.ClusterID != s.ctl.ledger.ClusterID() || string(id.RingKey) != string(keyOf(0)) || len(id.Controllers) != 1 {
			t.Fatalf("%v %v", id, err)
		}
		h := s.ctl.State().Hosts["cmp1"]
		if h.Enrolled.IsZero() || len(h.Keys) != 1 || !id.Public().Equal(ed25519.PublicKey(h.Keys[0].Public)) || len(s.ctl.State().Tokens) != 0 {
			t.Errorf("the ledger: %+v, %d tokens left", h, len(s.ctl.State().Tokens))
		}
		saved, err := os.ReadFile(filepath.Join(cfg.DataDir, rosterFile))
		if err != nil || strings.Contains(string(saved), base64.StdEncoding.EncodeToString(keyOf(0))) {
			t.Errorf("the roster on disk: %s %v", saved, err)
		}
		if err := s.seams().Enrol(s.Context(), cfg, ctlAt, s.token("cmp1")); err == nil || !strings.Contains(err.Error(), "enrolled already") {
			t.Errorf("enrolled twice: %v", err)
		}
	})
}

func TestEnrolRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		token func(s *site) string
		set   func(s *site)
		says  string
	}{
		{"no token", func(*site) string { return "nonsense" }, nil, "no token of the form"},
		{"another host's token", func(s *site) string { return s.token("cmp2") }, nil, "403"},
		{"expired", func(s *site) string {
			token := s.token("cmp1")
			time.Sleep(2 * time.Hour)
			return token
		}, nil, "403"},
		{"used", func(s *site) string {
			token := s.token("cmp1")
			other := s.agentOf(1)
			other.DataDir = s.path("first")
			if err := s.seams().Enrol(s.Context(), other, ctlAt, token); err != nil {
				s.Fatal(err)
			}
			return token
		}, nil, "403"},
		{"the secret is another's", func(s *site) string {
			a, b := strings.Split(s.token("cmp1"), "."), strings.Split(s.token("cmp1"), ".")
			return strings.Join([]string{a[0], a[1], b[2], a[3]}, ".")
		}, nil, "403"},
		{"another cluster's CA", func(s *site) string {
			p := strings.Split(s.token("cmp1"), ".")
			return strings.Join([]string{p[0], p[1], p[2], strings.Repeat("0", 64)}, ".")
		}, nil, "CA"},
		{"no controller in the roster yet", func(s *site) string { return s.token("cmp1") }, func(s *site) {
			s.ctl.lead(s.ctl.tenure, false) // the leader would put itself in again
			s.change(func(st *evacuate.State) { clear(st.Controllers) })
		}, "503"},
		{"the ring's key is not here yet", func(s *site) string { return s.token("cmp1") }, func(s *site) {
			s.change(func(st *evacuate.State) { st.RingEpoch, st.RingPrint = 1, "feed" })
		}, "503"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onSite(t, func(s *site) {
				cfg := s.agentOf(1)
				token := c.token(s)
				if c.set != nil {
					c.set(s)
				}
				before := len(s.ctl.State().Tokens)
				err := s.seams().Enrol(s.Context(), cfg, ctlAt, token)
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("%v does not say %q", err, c.says)
				}
				if _, err := identity.Load(cfg.DataDir); err == nil {
					t.Error("an identity was written")
				}
				if n := len(s.ctl.State().Tokens); n != before {
					t.Error("a refused enrolment uses a token up")
				}
			})
		})
	}
}

// A controller that joins the roster within ten seconds costs the host nothing.
func TestEnrolWaitsForTheRoster(t *testing.T) {
	onSite(t, func(s *site) {
		token := s.token("cmp1")
		s.ctl.lead(s.ctl.tenure, false)
		s.change(func(st *evacuate.State) { clear(st.Controllers) })
		time.AfterFunc(4*time.Second, func() { s.ctl.lead(s.ctl.tenure, true) })
		if err := s.seams().Enrol(s.Context(), s.agentOf(1), ctlAt, token); err != nil {
			t.Error(err)
		}
	})
}

func TestAgentIsHeard(t *testing.T) {
	onSite(t, func(s *site) {
		a := s.enrolled(1)
		s.await("healthy host", func() bool { return s.ctl.Verdicts()["cmp1"].State == detector.Healthy })
		w := s.ctl.World()
		if w.Heard["cmp1"].Boot != "boot-1" || !w.Leader.Is || !w.Leader.Writable || w.Network.Voters != 1 || w.Network.Heard != 1 || w.Network.Known != 1 {
			t.Errorf("the world: heard %+v, leader %+v, network %+v", w.Heard["cmp1"], w.Leader, w.Network)
		}
		s.await("ring address in the ledger", func() bool { return s.ctl.State().Hosts["cmp1"].Ring == "10.1.1.1:7946" })
		s.await("acknowledged key", func() bool { return s.ctl.Verdicts()["cmp1"].View.Sensors[sensorRingKey] == "0:0" })
		if r := s.ctl.roster("cmp2"); r.Rings["cmp1"] != "10.1.1.1:7946" || r.Ring == nil || len(r.Hosts) != 3 || len(r.Controllers) != 1 {
			t.Errorf("roster %+v", r)
		}
		if err := a.Stop(s.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		if v := s.ctl.Verdicts()["cmp1"]; v.State != detector.Leaving {
			t.Errorf("an announced stop is judged %s", v.State)
		}
	})
}

// A removed host is not heard, gets no roster, and can come back with a token only.
func TestHostRemove(t *testing.T) {
	onSite(t, func(s *site) {
		a := s.enrolled(1)
		defer func() { _ = a.Kill() }()
		s.await("healthy host", func() bool { return s.ctl.Verdicts()["cmp1"].State == detector.Healthy })
		if _, err := a.askRoster(s.Context(), ctlAt); err != nil {
			t.Errorf("an enrolled host gets no roster: %v", err)
		}
		s.must("host-remove", "cmp1", "")
		if _, err := a.askRoster(s.Context(), ctlAt); err == nil {
			t.Error("a removed host gets the roster")
		}
		time.Sleep(10 * time.Second)
		if v := s.ctl.Verdicts()["cmp1"]; v.State == detector.Healthy {
			t.Error("a removed host is heard")
		}
	})
}

func TestRenewKey(t *testing.T) {
	onSite(t, func(s *site) {
		a := s.enrolled(1)
		defer func() { _ = a.Kill() }()
		s.await("healthy host", func() bool { return s.ctl.Verdicts()["cmp1"].State == detector.Healthy })
		first := a.ident.KeyID
		a.renewKey(s.Context())
		if a.ident.KeyID != first {
			t.Fatal("a young key was renewed")
		}
		a.mu.Lock()
		old := *a.ident
		old.IssuedAt = time.Now().Add(-keyLife)
		a.ident = &old
		a.mu.Unlock()
		a.renewKey(s.Context())
		keys := s.ctl.State().Hosts["cmp1"].Keys
		if a.ident.KeyID == first || len(keys) != 2 || keys[1].ID != a.ident.KeyID || keys[0].Expires.IsZero() {
			t.Fatalf("key %s, the ledger: %+v", a.ident.KeyID, keys)
		}
		if saved, err := identity.Load(a.cfg.DataDir); err != nil || saved.KeyID != a.ident.KeyID {
			t.Errorf("on disk: %v %v", saved, err)
		}
		time.Sleep(10 * time.Second)
		if v := s.ctl.Verdicts()["cmp1"]; v.State != detector.Healthy {
			t.Errorf("after the renewal it is %s: %s", v.State, v.Detail)
		}
		// The old key is good for an hour, and no longer.
		pub := old.Public()
		if host, ok := s.ctl.hostOfKey(pub); !ok || host != "cmp1" {
			t.Error("the old key is refused at once")
		}
		time.Sleep(time.Hour + time.Minute)
		if _, ok := s.ctl.hostOfKey(pub); ok {
			t.Error("the old key is still good")
		}
	})
}

func TestRenewRefuses(t *testing.T) {
	onSite(t, func(s *site) {
		a := s.enrolled(1)
		defer func() { _ = a.Kill() }()
		cl, err := a.client()
		if err != nil {
			t.Fatal(err)
		}
		key, _ := identity.NewKey()
		pub := key.Public().(ed25519.PublicKey)
		for name, q := range map[string]renewRequest{
			"not signed":                {Public: pub},
			"signed for another host":   {Public: pub, Signature: ed25519.Sign(key, renewMessage("cmp2", pub))},
			"signed by the present key": {Public: pub, Signature: ed25519.Sign(a.ident.Key, renewMessage("cmp1", pub))},
			"no key":                    {Public: pub[:7], Signature: []byte{1}},
		} {
			body, _ := json.Marshal(q)
			if err := a.renewAt(context.Background(), cl, ctlAt, body); err == nil || !strings.Contains(err.Error(), "403") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := len(s.ctl.State().Hosts["cmp1"].Keys); n != 1 {
			t.Errorf("%d keys", n)
		}
	})
}
