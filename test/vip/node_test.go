//go:build vip

package vip

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	pure "github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/detector/vip/watch"
)

// nodeEnv holds the order of a process that plays one machine, in its namespace.
const nodeEnv = "LIFEBOAT_VIP_NODE"

// order says what a node is.
type order struct {
	Name    string
	Compute bool
	VIPs    []pure.VIP
	Targets []pure.Target
	Socket  string // of HAProxy
	Census  bool
}

// line is what a node tells, one JSON a line.
type line struct {
	Sight *pure.Sight       `json:"sight,omitempty"`
	Row   *detector.PathRow `json:"row,omitempty"`
	Done  string            `json:"done,omitempty"`
	// Freed says how the node's own connections ended.
	Freed string `json:"freed,omitempty"`
}

// command is what a node is told.
type command struct {
	Do     string // backends-off, backends-on, connect, holder
	Holder detector.MAC
	For    time.Duration
	Mend   bool
}

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(controllerEnv) != "":
		playController(os.Getenv(controllerEnv))
	case os.Getenv(guardEnv) != "":
		playGuard()
	case os.Getenv(novaEnv) != "":
		playNova(os.Getenv(novaEnv))
	case os.Getenv(censusEnv) != "":
		playCensus()
	case os.Getenv(endsEnv) != "":
		later, err := time.ParseDuration(os.Getenv(endsEnv))
		if err != nil {
			panic(err)
		}
		playEnds(later)
	}
	if raw := os.Getenv(nodeEnv); raw != "" {
		var o order
		if err := json.Unmarshal([]byte(raw), &o); err != nil {
			panic(err)
		}
		playNode(o)
		return
	}
	code := m.Run()
	_ = os.RemoveAll(binaries())
	os.Exit(code)
}

type player struct {
	o     order
	out   sync.Mutex
	hands *watch.Hands
	paths *watch.Paths

	mu       sync.Mutex
	backends []*http.Server
	holder   *pure.Holder
	mend     bool
}

func playNode(o order) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &player{o: o, hands: &watch.Hands{Now: time.Now}}
	go p.obey(cancel)
	if o.Compute {
		p.compute(ctx)
		return
	}
	p.serve()
	w, err := watch.Open(ctx, watch.Options{Controller: detector.Observer(o.Name), VIPs: o.VIPs, Interfaces: map[string]string{"internal": "eth0", "six": "eth0"}, Census: o.Census,
		HAProxy: o.Socket, Now: time.Now, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		panic(err)
	}
	for ctx.Err() == nil {
		s := w.Sight()
		p.say(line{Sight: &s})
		time.Sleep(250 * time.Millisecond)
	}
}

func (p *player) say(l line) {
	b, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	p.out.Lock()
	defer p.out.Unlock()
	if _, err := os.Stdout.Write(append(b, '\n')); err != nil {
		os.Exit(0)
	}
}

// obey reads commands until the test has gone.
func (p *player) obey(cancel context.CancelFunc) {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var c command
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			panic(err)
		}
		switch c.Do {
		case "backends-off":
			p.mu.Lock()
			for _, s := range p.backends {
				_ = s.Close()
			}
			p.backends = nil
			p.mu.Unlock()
		case "connect":
			p.connect()
		case "announce", "orphan":
			p.mendAddress(c)
		case "holder":
			p.mu.Lock()
			h := &pure.Holder{MAC: c.Holder, Since: time.Now().Add(-c.For)}
			if p.holder != nil && p.holder.MAC == h.MAC && p.holder.Since.Before(h.Since) {
				h = p.holder
			}
			p.holder, p.mend = h, c.Mend
			p.mu.Unlock()
		}
	}
	cancel()
	os.Exit(0)
}

// mendAddress does what a controller does whom the leader orders to.
func (p *player) mendAddress(c command) {
	h := watch.Holder{VIPs: p.o.VIPs}
	do := h.Announce
	if c.Do == "orphan" {
		do = h.TakeOff
	}
	p.say(line{Done: fmt.Sprintf("%s %v", c.Do, do("internal"))})
}

// serve runs two backends behind HAProxy.
func (p *player) serve() {
	for _, port := range []string{"6001", "6002"} {
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, p.o.Name+"\n") })}
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			panic(err)
		}
		go func() { _ = s.Serve(l) }()
		p.backends = append(p.backends, s)
	}
}

// connect opens connections that stay idle, as a pool of nova-compute's does, and
// tells how each ends.
func (p *player) connect() {
	for range 4 {
		c, err := net.DialTimeout("tcp", p.o.Targets[0].Address.String(), time.Second)
		if err != nil {
			p.say(line{Freed: "not connected: " + err.Error()})
			continue
		}
		_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		b := make([]byte, 4096)
		if _, err := c.Read(b); err != nil {
			p.say(line{Freed: "no answer: " + err.Error()})
			continue
		}
		go func() {
			_, err := c.Read(b)
			p.say(line{Freed: fmt.Sprint(err)})
			_ = c.Close()
		}()
	}
	p.say(line{Done: "connected"})
}

// compute asks its targets and tends its way, as an agent does.
func (p *player) compute(ctx context.Context) {
	p.paths = &watch.Paths{Now: time.Now, Log: slog.New(slog.DiscardHandler), Ask: watch.Ask, Neighbours: watch.Neighbours}
	p.paths.Set(p.o.VIPs, p.o.Targets)
	go func() {
		for ctx.Err() == nil {
			p.paths.Round(ctx)
			time.Sleep(watch.PathsEvery)
		}
	}()
	for ctx.Err() == nil {
		p.tend()
		if row := p.paths.Row(); row != nil {
			p.say(line{Row: row})
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func (p *player) tend() {
	v := p.o.VIPs[0]
	way, err := p.hands.Way(v)
	if err != nil {
		fmt.Fprintln(os.Stderr, p.o.Name, err)
		return
	}
	p.mu.Lock()
	way.Holder = p.holder
	mend := p.mend
	p.mu.Unlock()
	way.Answered = p.paths.Answered(v.Name)
	hanging := 0
	for _, r := range pure.Repairs(way, []uint16{p.o.Targets[0].Address.Port()}, time.Now(), pure.Spread(p.o.Name)/3) {
		if r.Kind == pure.RepairConnection {
			hanging++
		}
		if !mend {
			continue
		}
		if err := p.hands.Do(v, r); err != nil {
			fmt.Fprintln(os.Stderr, p.o.Name, err)
			continue
		}
		p.say(line{Done: "repaired " + string(r.Kind) + ": " + strings.TrimSpace(r.Why)})
	}
	p.hands.Forget(way.Connections)
	p.paths.Hanging(hanging)
}
