package heartbeat

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// OrphanOptions are what Orphans is made of. All functions must not block.
type OrphanOptions struct {
	Host   nova.HostName
	Start  string
	Signer Signer // Ed25519 if nil
	// Key is this host's in force, Hosts gives others' public keys.
	Key   func() ed25519.PrivateKey
	Hosts func(nova.HostName) ([]ed25519.PublicKey, bool)
	// ClusterID keeps other clusters out.
	ClusterID string
	// Send carries a message to another host; what is lost is asked again.
	Send func(to nova.HostName, message []byte) error
	// Lost says that this host has lost the controllers; who says so has not held its
	// lease without a break.
	Lost func() bool
	// OnLost gets another host's word that it has lost them, and when it was asked.
	OnLost func(host nova.HostName, asked Instant)
	Clocks func() Instant
}

// Orphans asks other hosts whether they have lost the controllers too, and answers
// them. Each answer is signed and repeats the question's number: no recording, and
// nobody else, can speak for a host.
type Orphans struct {
	o       OrphanOptions
	cluster cluster

	mu   sync.Mutex
	sent uint64
	open map[uint64]question
}

type question struct {
	to    nova.HostName
	asked Instant
}

// mostQuestions bounds the questions that wait for an answer: three rounds of the
// largest ring.
const mostQuestions = 4096

// NewOrphans gives an Orphans.
func NewOrphans(o OrphanOptions) *Orphans {
	o.Signer = orEdwards(o.Signer)
	return &Orphans{o: o, cluster: clusterOf(o.ClusterID), open: map[uint64]question{}}
}

// Ask asks each of the hosts once.
func (p *Orphans) Ask(hosts []nova.HostName) error {
	var errs []error
	for _, host := range hosts {
		if host == p.o.Host {
			continue
		}
		var raw [8]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return err
		}
		number := binary.BigEndian.Uint64(raw[:])>>1 + 1
		p.mu.Lock()
		if len(p.open) >= mostQuestions {
			clear(p.open)
		}
		p.open[number] = question{to: host, asked: p.o.Clocks()}
		p.mu.Unlock()
		h := header{kind: kindAsk, from: string(p.o.Host), to: string(host), start: p.o.Start, seq: number}
		errs = append(errs, p.o.Send(host, p.cluster.seal(h, nil, p.o.Key(), p.o.Signer)))
	}
	return errors.Join(errs...)
}

// Hear takes a message of another host. Whatever is not for us, or not signed by
// whom it names, is passed over.
func (p *Orphans) Hear(message []byte) {
	d, err := p.cluster.take(message)
	if err != nil || d.to != string(p.o.Host) || d.kind != kindAsk && d.kind != kindLost {
		return
	}
	from := nova.HostName(d.from)
	keys, known := p.o.Hosts(from)
	if !known || !p.cluster.verify(d, keys, p.o.Signer) {
		return
	}
	if d.kind == kindLost {
		p.answered(from, d)
		return
	}
	if !p.o.Lost() {
		return // silence: only what is lost is told
	}
	p.mu.Lock()
	p.sent++
	h := header{kind: kindLost, from: string(p.o.Host), to: d.from, start: p.o.Start, seq: p.sent, echo: d.start, echoed: d.seq}
	p.mu.Unlock()
	_ = p.o.Send(from, p.cluster.seal(h, nil, p.o.Key(), p.o.Signer))
}

func (p *Orphans) answered(from nova.HostName, d datagram) {
	p.mu.Lock()
	q, ok := p.open[d.echoed]
	if ok = ok && q.to == from && d.echo == p.o.Start; ok {
		delete(p.open, d.echoed)
	}
	p.mu.Unlock()
	if ok {
		p.o.OnLost(from, q.asked)
	}
}
