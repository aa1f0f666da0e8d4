//go:build vip

package vip

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	pure "github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/ledgertest"
)

// A process of this test is a whole controller, whose clock and disk a test may spoil.
const (
	controllerEnv = "LIFEBOAT_VIP_CONTROLLER" // its file
	censusEnv     = "LIFEBOAT_VIP_CENSUS"     // asks, from the namespace that it is in
)

// spoiled is a clock that jumps as a suspended machine's does, and a disk that is slow.
type spoiled struct {
	clock.Clock
	jump  atomic.Int64
	fsync atomic.Int64
}

func (s *spoiled) Read() clock.Reading {
	r := s.Clock.Read()
	r.Boot += time.Duration(s.jump.Load())
	r.Wall = r.Wall.Add(time.Duration(s.jump.Load()))
	return r
}

func playController(file string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	cfg, err := config.LoadController(file)
	fail(err)
	s := &spoiled{Clock: clock.System()}
	disk := ledgertest.Slow(ledger.Disk(cfg.Controller.DataDir), func() time.Duration { return time.Duration(s.fsync.Load()) })
	c, err := app.NewController(cfg, app.Logger(cfg.Log), app.Seams{Clock: s, Stores: disk})
	fail(err)
	fail(c.Start(context.Background()))
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var word string
		var d time.Duration
		if f := strings.Fields(in.Text()); len(f) == 2 {
			word = f[0]
			d, err = time.ParseDuration(f[1])
			fail(err)
		}
		switch word {
		case "jump":
			s.jump.Add(int64(d))
		case "fsync":
			s.fsync.Store(int64(d))
		case "stop":
			fail(c.Stop())
			os.Exit(0)
		}
	}
	os.Exit(0)
}

// answers are what one question to the network came to.
type answers struct {
	At   time.Time
	Who  map[string][]string // MACs, by address
	Late bool                // the census itself was late: this is no steady look
}

const censusEvery = 20 * time.Millisecond

// playCensus asks for both addresses each 20 ms, from a MAC that is nobody's, and tells
// who answers each question.
func playCensus() {
	addrs := []netip.Addr{netip.MustParseAddr(theVIP), netip.MustParseAddr(theVIP6)}
	foreign := detector.MAC{0x02, 0xce, 0, 0, 0, 1}
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	at := link("eth0")
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(err)
	m := unix.PacketMreq{Ifindex: int32(at), Type: unix.PACKET_MR_UNICAST, Alen: 6}
	copy(m.Address[:], foreign[:])
	must(unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m))
	must(unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0x0300, Ifindex: at})) // ETH_P_ALL
	out := json.NewEncoder(os.Stdout)
	buf := make([]byte, 2048)
	for {
		began := time.Now()
		for _, a := range addrs {
			_, err := unix.Write(fd, pure.Question(a, foreign))
			must(err)
		}
		who := map[string][]string{}
		for left := censusEvery; left > 0; left = censusEvery - time.Since(began) {
			ts := unix.NsecToTimespec(int64(left))
			if n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, &ts, nil); n <= 0 || err != nil {
				continue
			}
			n, from, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
			if err != nil {
				continue
			}
			if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			if detector.MAC(buf[:6]) != foreign {
				continue // no answer to this question
			}
			if addr, mac, ok := pure.Owner(buf[:n]); ok && mac != foreign {
				who[addr.String()] = append(who[addr.String()], mac.String())
			}
		}
		if err := out.Encode(answers{At: began, Who: who, Late: time.Since(began) > 2*censusEvery}); err != nil {
			os.Exit(0)
		}
	}
}
