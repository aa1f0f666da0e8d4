package heartbeat

import (
	"context"
	"crypto/ed25519"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

func oneKey(k ed25519.PublicKey) []ed25519.PublicKey { return []ed25519.PublicKey{k} }

// order performs a controller's order if it may be asked for, and answers it.
// A refused order is not answered: to the controller it is lost, and a lost
// probe is no evidence.
func (s *Sender) order(ctx context.Context, d datagram) {
	id, o, ok := getOrder(d.payload)
	if !ok {
		s.malformed.Add(1)
		return
	}
	if s.o.Probe == nil || !s.o.Listed(o.Host) {
		s.refused.Add(1)
		s.o.Log.Debug("an order to probe a host that is not on the list is refused", "host", o.Host, "controller", d.from)
		return
	}
	s.mu.Lock()
	affordable := s.bucket.take(s.o.Now())
	s.mu.Unlock()
	if !affordable || !s.slot() {
		s.refused.Add(1)
		return
	}
	controller := d.from
	s.owned.Go(func() {
		defer func() { <-s.orders }()
		ctx, cancel := context.WithTimeout(ctx, orderTime)
		defer cancel()
		s.answer(controller, id, s.o.Probe(ctx, o))
	})
}

func (s *Sender) slot() bool {
	select {
	case s.orders <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *Sender) answer(controller string, id uint64, probes []detector.Probe) {
	// All parts are cut for the narrowest header, as room depends on it by a
	// few bytes of numbers only.
	room := s.cluster.room(header{
		from: string(s.o.Host), to: controller, key: s.o.KeyID, start: s.o.Start,
		seq: 1 << 62, echo: longest, echoed: 1 << 62,
	})
	for _, payload := range putResults(id, probes, s.o.Now(), room) {
		s.send(controller, kindResult, func(int) []byte { return payload })
	}
}

// longest stands for a start id of the greatest length.
const longest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// bucket is a token bucket: rate tokens a second, at most burst of them.
type bucket struct {
	rate, burst, tokens float64
	at                  time.Time
}

func (b *bucket) take(now time.Time) bool {
	if b.at.IsZero() {
		b.tokens = b.burst
	} else {
		b.tokens = min(b.burst, b.tokens+b.rate*max(now.Sub(b.at), 0).Seconds())
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
