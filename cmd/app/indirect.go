package app

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// favour is what one host asks another in the ring: does what I do not reach answer
// you? Anybody with the ring's key can forge both; they are told beside the row and
// decide nothing. Only targets of the common list are ever asked.
type favour struct {
	ID      uint64        `json:"id"`
	From    nova.HostName `json:"from"`
	List    uint32        `json:"list"`
	Targets []int         `json:"targets"`
	// Answer says that this is one: Reached are those of the targets that answered.
	Answer  bool  `json:"answer,omitempty"`
	Reached []int `json:"reached,omitempty"`
}

// favourMark begins a favour among the ring's messages.
var favourMark = []byte("lifeboat vip 1 ")

const (
	// favourPeers are asked, and waited for so long.
	favourPeers = 3
	favourTime  = time.Second
	// favourMost bounds the targets of one, favourEvery how often others are served.
	favourMost  = 4
	favourEvery = 200 * time.Millisecond
)

// indirect asks other hosts, and serves them.
type indirect struct {
	host  nova.HostName
	now   func() time.Time
	send  func(to nova.HostName, message []byte) error
	peers func() []nova.HostName
	list  func() []vip.Target
	ask   func(context.Context, vip.Target) detector.PathWord
	spawn func(func()) // owns the goroutine

	mu      sync.Mutex
	serial  uint64
	waiting map[uint64]chan []int
	served  time.Time
}

// confirm asks up to three others for the targets, and says how many reach one of
// them.
func (x *indirect) confirm(ctx context.Context, failed []vip.Target) (asked, reached int) {
	targets := x.list()
	f := favour{From: x.host, List: vip.List(targets)}
	for i, t := range targets {
		if slices.Contains(failed, t) && len(f.Targets) < favourMost {
			f.Targets = append(f.Targets, i)
		}
	}
	if len(f.Targets) == 0 {
		return 0, 0
	}
	answers := make(chan []int, favourPeers)
	x.mu.Lock()
	x.serial++
	f.ID = x.serial
	x.waiting[f.ID] = answers
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		delete(x.waiting, f.ID)
		x.mu.Unlock()
	}()
	peers := slices.DeleteFunc(slices.Clone(x.peers()), func(h nova.HostName) bool { return h == x.host })
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	for _, p := range peers {
		if asked == favourPeers {
			break
		}
		if x.send(p, encode(f)) == nil {
			asked++
		}
	}
	ctx, cancel := context.WithTimeout(ctx, favourTime)
	defer cancel()
	for range asked {
		select {
		case got := <-answers:
			if len(got) > 0 {
				reached++
			}
		case <-ctx.Done():
			return asked, reached
		}
	}
	return asked, reached
}

func encode(f favour) []byte {
	b, _ := json.Marshal(f) // plain numbers and words
	return append(slices.Clone(favourMark), b...)
}

// hear takes a message of the ring and says whether it is a favour.
func (x *indirect) hear(ctx context.Context, message []byte) bool {
	body, ours := bytes.CutPrefix(message, favourMark)
	if !ours {
		return false
	}
	var f favour
	if json.Unmarshal(body, &f) != nil {
		return true
	}
	x.mu.Lock()
	waits, now := x.waiting[f.ID], x.now()
	idle := now.Sub(x.served) >= favourEvery
	if !f.Answer && idle {
		x.served = now
	}
	x.mu.Unlock()
	switch {
	case f.Answer && waits != nil:
		select {
		case waits <- f.Reached:
		default: // more answers than were asked for
		}
	case !f.Answer && idle && slices.Contains(x.peers(), f.From):
		x.spawn(func() { x.serve(ctx, f) })
	}
	return true
}

// serve asks for another host.
func (x *indirect) serve(ctx context.Context, f favour) {
	targets := x.list()
	if vip.List(targets) != f.List || len(f.Targets) > favourMost {
		return
	}
	answer := favour{ID: f.ID, From: x.host, List: f.List, Answer: true}
	for _, i := range f.Targets {
		if i >= 0 && i < len(targets) && x.ask(ctx, targets[i]) == detector.PathOK {
			answer.Reached = append(answer.Reached, i)
		}
	}
	_ = x.send(f.From, encode(answer)) // best effort: nobody waits for long
}
