package kdump

import (
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

func message(order binary.ByteOrder, magic, version uint32) []byte {
	b := make([]byte, 8)
	order.PutUint32(b, magic)
	order.PutUint32(b[4:], version)
	return b
}

func TestDecode(t *testing.T) {
	little, big := message(binary.LittleEndian, magic, 1), message(binary.BigEndian, magic, 1)
	for name, tt := range map[string]struct {
		b  []byte
		ok bool
	}{
		"of x86":          {little, true},
		"of s390x":        {big, true},
		"of a later day":  {message(binary.LittleEndian, magic, 2), false},
		"version swapped": {append(little[:4:4], big[4:]...), false},
		"other magic":     {message(binary.LittleEndian, magic+1, 1), false},
		"empty":           {nil, false},
		"cut short":       {little[:7], false},
		"too long":        {append(little[:8:8], 0), false},
	} {
		if err := Decode(tt.b); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(message(binary.LittleEndian, magic, 1))
	f.Add(message(binary.BigEndian, magic, 2))
	f.Add([]byte("fence"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if Decode(b) == nil && len(b) != 8 {
			t.Errorf("%x is taken", b)
		}
	})
}

// clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// TestListener sends real datagrams over loopback, whose addresses are hosts.
func TestListener(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	c := &clock{now: start}
	l, err := Listen(Options{Conn: conn, Quiet: 30 * time.Second, Now: c.Now, Log: slog.New(slog.DiscardHandler),
		Hosts: map[netip.Addr]nova.HostName{netip.MustParseAddr("127.0.0.2"): "cmp1", netip.MustParseAddr("127.0.0.3"): "cmp2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	hello := message(binary.LittleEndian, magic, 1)
	send := func(from string, b []byte) {
		t.Helper()
		before := l.seen()
		s, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, conn.LocalAddr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		if _, err := s.Write(b); err != nil {
			t.Fatal(err)
		}
		for l.seen() == before {
			time.Sleep(time.Millisecond)
		}
	}
	send("127.0.0.2", hello)
	c.pass(10 * time.Second)
	send("127.0.0.2", hello)
	if s := l.Sights()["cmp1"]; !s.First.Equal(start) || !s.Last.Equal(start.Add(10*time.Second)) {
		t.Errorf("one dump reads as %+v", s)
	}
	c.pass(30 * time.Second)
	send("127.0.0.2", hello)
	if s := l.Sights()["cmp1"]; !s.First.Equal(start.Add(40 * time.Second)) {
		t.Errorf("after a time of quiet another dump begins: %+v", s)
	}
	send("127.0.0.3", []byte("go away"))
	send("127.0.0.4", hello)
	if s := l.Sights(); len(s) != 1 || l.Dropped() != 2 {
		t.Errorf("a datagram that is none, or from nobody we know, is taken: %+v, %d dropped", s, l.Dropped())
	}
	c.pass(time.Hour)
	if s := l.Sights(); len(s) != 0 {
		t.Errorf("a dump of long ago is kept: %+v", s)
	}
}

// seen changes with every datagram that was taken or dropped.
func (l *Listener) seen() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := int64(l.dropped)
	for _, s := range l.sights {
		sum += s.Last.Unix()
	}
	return sum
}

func TestListenWantsItsParts(t *testing.T) {
	if _, err := Listen(Options{}); err == nil {
		t.Error("it listens on nothing")
	}
}
