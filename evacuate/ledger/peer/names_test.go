package peer

import (
	"crypto/x509"
	"net"
	"net/url"
	"strings"
	"testing"
)

func TestControllerID(t *testing.T) {
	for name, test := range map[string]struct {
		uris, dns  []string
		want, fail string
	}{
		"URI":                    {uris: []string{"spiffe://lifeboat/east/controller/c1"}, want: "c1"},
		"URI beside DNS":         {uris: []string{"spiffe://lifeboat/east/controller/c1"}, dns: []string{"c1.controller.lifeboat", "ctl1"}, want: "c1"},
		"URI beats DNS":          {uris: []string{"spiffe://lifeboat/east/controller/c1"}, dns: []string{"c2.controller.lifeboat"}, want: "c1"},
		"DNS":                    {dns: []string{"ctl1", "c1.controller.lifeboat"}, want: "c1"},
		"others' URI":            {uris: []string{"spiffe://mesh/ns/x"}, dns: []string{"c1.controller.lifeboat"}, want: "c1"},
		"another cluster":        {uris: []string{"spiffe://lifeboat/west/controller/c1"}, fail: `for cluster "west"`},
		"another cluster by DNS": {uris: []string{"spiffe://lifeboat/west/controller/c1"}, dns: []string{"c1.controller.lifeboat"}, fail: `for cluster "west"`},
		"a host's":               {uris: []string{"spiffe://lifeboat/east/host/c1"}, fail: "not of the form"},
		"no id":                  {uris: []string{"spiffe://lifeboat/east/controller/"}, fail: "not of the form"},
		"a longer path":          {uris: []string{"spiffe://lifeboat/east/controller/c1/x"}, fail: "not of the form"},
		"two URIs": {uris: []string{"spiffe://lifeboat/east/controller/c1", "spiffe://lifeboat/east/controller/c2"},
			fail: "several controllers"},
		"two DNS": {dns: []string{"c1.controller.lifeboat", "c2.controller.lifeboat"}, fail: "several controllers"},
		"nothing": {dns: []string{"ctl1"}, fail: "names no controller"},
		"no name": {dns: []string{".controller.lifeboat"}, fail: "names no controller"},
	} {
		cert := &x509.Certificate{DNSNames: test.dns}
		for _, u := range test.uris {
			parsed, err := url.Parse(u)
			if err != nil {
				t.Fatal(err)
			}
			cert.URIs = append(cert.URIs, parsed)
		}
		got, err := ControllerID(cert, "east")
		if got != test.want || (err == nil) != (test.fail == "") || err != nil && !strings.Contains(err.Error(), test.fail) {
			t.Errorf("%s: got %q, %v, want %q %q", name, got, err, test.want, test.fail)
		}
	}
	if got, err := ControllerID(&x509.Certificate{URIs: []*url.URL{ControllerURI("east", "c1")}, DNSNames: []string{ControllerDNS("c1")}}, "east"); got != "c1" || err != nil {
		t.Errorf("own names: %q, %v", got, err)
	}
}

func TestCounter(t *testing.T) {
	c := newCounter(3, 2)
	var releases []func()
	for i, test := range []struct {
		key string
		ok  bool
	}{{"a", true}, {"a", true}, {"a", false}, {"", true}, {"b", false}} {
		release, ok := c.take(test.key)
		if ok != test.ok {
			t.Errorf("%d: %q taken: %v", i, test.key, ok)
		}
		if ok {
			releases = append(releases, release)
		}
	}
	releases[0]()
	releases[0]() // counts once
	if _, ok := c.take("b"); !ok {
		t.Error("what was given free is not free")
	}
	if _, ok := c.take("b"); ok {
		t.Error("the limit over all is passed")
	}
}

func TestLimitKey(t *testing.T) {
	for addr, want := range map[string]string{
		"10.0.0.1:5": "10.0.0.1", "[::ffff:10.0.0.1]:5": "10.0.0.1", "[fd00::1]:5": "fd00::1", "127.0.0.1:5": "", "[::1]:5": "",
	} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := limitKey(a); got != want {
			t.Errorf("%s: got %q, want %q", addr, got, want)
		}
	}
}
