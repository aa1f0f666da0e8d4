package heartbeat

import (
	"crypto/ed25519"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Real sockets: a controller that listens on all addresses, IPv6 included,
// hears and answers an agent that has IPv4.
func TestRealSockets(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		t.Run(listen, func(t *testing.T) {
			conn, err := net.ListenPacket("udp", listen)
			if err != nil {
				t.Fatal(err)
			}
			heard := make(chan netip.AddrPort, 100)
			r, err := Listen(t.Context(), ReceiverOptions{
				ID: "c1", Key: testKey(1), ClusterID: "cloud-a", Conn: conn,
				Hosts:       func(nova.HostName) ([]ed25519.PublicKey, bool) { return oneKey(public(testKey(100))), true },
				OnHeartbeat: func(_ detector.Heartbeat, from netip.AddrPort, _ time.Time) { heard <- from },
				OnProbes:    func([]detector.Probe) {},
				Now:         time.Now, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			agent, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			port := uint16(conn.LocalAddr().(*net.UDPAddr).Port)
			s, err := Start(t.Context(), SenderOptions{
				Host: "compute-1", Key: testKey(100), ClusterID: "cloud-a", Conn: agent, Boot: "boot", Start: "run", Interval: 50 * time.Millisecond,
				Controllers: []Peer{{ID: "c1", Address: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), PublicKey: public(testKey(1))}},
				Now:         time.Now, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			select {
			case from := <-heard:
				if want := agent.LocalAddr().(*net.UDPAddr).AddrPort(); from != want {
					t.Errorf("heard from %v, want %v", from, want)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("nothing heard: %+v, %+v", r.Stats(), s.Stats())
			}
			if err := s.Announce(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
