package api

import (
	"net/http"
	"net/netip"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// VIPStatus is what is known of the control plane's addresses.
type VIPStatus struct {
	// Watched is false where nothing is configured.
	Watched bool  `json:"watched"`
	VIPs    []VIP `json:"vips"`
	// Control is what holds the cloud for it; empty: nothing.
	Control  detector.Control      `json:"control"`
	Findings []vip.Finding         `json:"findings"`
	Past     []evacuate.VIPFinding `json:"past,omitempty"`
	Matrix   vip.Matrix            `json:"matrix"`
	// Checks are what services behind the addresses say of themselves.
	Checks []vip.Check `json:"checks,omitempty"`
	// Sights are what each controller last saw.
	Sights []vip.Sight `json:"sights,omitempty"`
}

// VIP is one address at a glance.
type VIP struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	Owner   string     `json:"owner,omitempty"`
	// Router is what manages it, as far as that is heard.
	Router string `json:"router,omitempty"`
	Moves  int    `json:"moves"`
	// Lease is who may have it, where Lifeboat moves it itself.
	Lease *evacuate.VIPLease `json:"lease,omitempty"`
}

func (s *server) vip(w http.ResponseWriter, r *http.Request) {
	if s.o.VIP == nil {
		problem(w, http.StatusNotFound, "there is nothing at "+r.URL.Path)
		return
	}
	st := s.o.VIP()
	if r.URL.Query().Get("matrix") == "failing" {
		st.Matrix = st.Matrix.Failing()
	}
	reply(w, st)
}
