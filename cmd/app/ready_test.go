package app

import (
	"context"
	"net"
	"net/netip"
	"testing"
)

// An instance's port is asked at all its addresses; one that takes a connection is enough.
func TestConnect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	here, elsewhere := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	p := ports{&Controller{}}
	for name, c := range map[string]struct {
		addresses []netip.Addr
		ok        bool
	}{
		"its own":     {[]netip.Addr{here}, true},
		"one of two":  {[]netip.Addr{elsewhere, here}, true},
		"another one": {[]netip.Addr{elsewhere}, false},
		"none known":  {nil, false},
		"the fifth":   {[]netip.Addr{elsewhere, elsewhere, elsewhere, elsewhere, here}, false},
	} {
		if err := p.Connect(t.Context(), c.addresses, port); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if p.Connect(ended, []netip.Addr{here}, port) == nil {
		t.Error("connected after its time")
	}
}
