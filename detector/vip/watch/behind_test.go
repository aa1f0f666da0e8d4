package watch_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/detector/vip/watch"
)

// TestBehind: what clustercheck and the management plugin answer, and what that says. An
// answer that is none, or none at all, is unknown.
func TestBehind(t *testing.T) {
	const user, password = "monitor", "s3cret-of-rabbit"
	for name, c := range map[string]struct {
		galera bool
		status int
		body   string
		want   vip.CheckState
		says   string
	}{
		"synced":                {true, 200, "Percona XtraDB Cluster Node is synced.\r\n", vip.CheckWell, ""},
		"not synced":            {true, 503, "Galera cluster node is not synced\nmore", vip.CheckIll, "Galera cluster node is not synced"},
		"no clustercheck":       {true, 404, "", vip.CheckUnknown, "404"},
		"whole":                 {false, 200, `[{"name":"rabbit@ctl1","partitions":[]},{"name":"rabbit@ctl2"}]`, vip.CheckWell, ""},
		"partitioned":           {false, 200, `[{"name":"rabbit@ctl1","partitions":["rabbit@ctl2"]}]`, vip.CheckIll, "rabbit@ctl1 is apart from rabbit@ctl2"},
		"not permitted":         {false, 401, `{"error":"not_authorized"}`, vip.CheckUnknown, "401"},
		"nonsense":              {false, 200, `<html>`, vip.CheckUnknown, "not understood"},
		"a redirect elsewhere":  {false, 302, "", vip.CheckUnknown, "302"},
		"an empty list of some": {false, 200, `[]`, vip.CheckUnknown, "not understood"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u, p, _ := r.BasicAuth()
			if c.galera == (u == user) || !c.galera && (p != password || r.URL.Path != "/api/nodes") {
				t.Errorf("%s: asked as %q at %s", name, u, r.URL.Path)
			}
			if c.status == 302 {
				w.Header().Set("Location", "http://elsewhere.invalid/")
			}
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		at := netip.MustParseAddrPort(strings.TrimPrefix(s.URL, "http://"))
		b := &watch.Behind{User: user, Password: password, Scheme: "http", Client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
		if c.galera {
			b.Galera = []netip.AddrPort{at}
		} else {
			b.Rabbit = []netip.AddrPort{at}
		}
		got := b.Ask(t.Context())
		if len(got) != 1 || got[0].State != c.want || !strings.Contains(got[0].Says, c.says) || strings.Contains(got[0].Says, password) {
			t.Errorf("%s: %+v", name, got)
		}
		s.Close()
		if got = b.Ask(t.Context()); len(got) != 1 || got[0].State != vip.CheckUnknown {
			t.Errorf("%s, then gone: %+v", name, got)
		}
	}
}
