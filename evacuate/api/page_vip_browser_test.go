//go:build browser

package api

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestPageOfTheVIP: of a large cloud the page counts the hosts that reach all, and shows
// fifty of the others.
func TestPageOfTheVIP(t *testing.T) {
	f := newFake()
	o := options(f)
	o.VIP = func() (st VIPStatus) {
		f.with(func() { st = f.vip })
		st.Matrix.Hosts = slices.Clone(st.Matrix.Hosts)
		return st
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	b := open(t, srv, 1280)
	b.signIn(readToken)
	b.shows("vip", "not watched")
	split := splitVIP()
	split.Matrix.Fresh, split.Matrix.Reaching = 2, 1
	f.with(func() { f.vip = split })
	b.shows("vip", "internal 10.0.0.100 is at ctl1+ctl2", "1 of 2 hosts reach all.", "FOUND duplicate of internal: both")
	b.shows("targets", "Host", "nova 10.0.0.100:8774", "Asked")
	b.shows("matrix", "cmp2", "silent")
	if rows := value[int](b, `document.querySelectorAll("#matrix tr").length`); rows != 1 {
		t.Errorf("%d rows, want the one host that does not reach all", rows)
	}
	for i := range 200 {
		split.Matrix.Hosts = append(split.Matrix.Hosts, vip.HostPath{Host: nova.HostName(fmt.Sprintf("host%03d", i)), Fresh: true, Fails: []string{"nova"}, Words: []detector.PathWord{detector.PathRefused}})
	}
	split.Matrix.Fresh = 202
	f.with(func() { f.vip = split })
	b.shows("vip", "1 of 202 hosts reach all, 151 more do not.")
	if rows := value[int](b, `document.querySelectorAll("#matrix tr").length`); rows != 50 {
		t.Errorf("%d rows, want 50", rows)
	}
	b.quiet()
}
