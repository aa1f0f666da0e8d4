package heartbeat

import (
	"errors"
	"sync/atomic"
)

// Stats counts datagrams since the start.
type Stats struct {
	Sent         uint64
	SendFailed   uint64
	Received     uint64
	Accepted     uint64
	Malformed    uint64
	OtherCluster uint64
	NotForUs     uint64
	UnknownPeer  uint64 // no key is known for the sender
	BadSignature uint64
	Replayed     uint64
	Unproven     uint64 // a run that does not repeat our start id yet
	Refused      uint64 // orders over the rate, for unlisted hosts, or unasked results
	Omitted      uint64 // names and sensors that did not fit a heartbeat
}

type counters struct {
	sent, sendFailed, received, accepted, malformed, otherCluster, notForUs atomic.Uint64
	unknownPeer, badSignature, replayed, unproven, refused, omitted         atomic.Uint64
}

func (c *counters) stats() Stats {
	return Stats{
		Sent: c.sent.Load(), SendFailed: c.sendFailed.Load(), Received: c.received.Load(), Accepted: c.accepted.Load(),
		Malformed: c.malformed.Load(), OtherCluster: c.otherCluster.Load(), NotForUs: c.notForUs.Load(),
		UnknownPeer: c.unknownPeer.Load(), BadSignature: c.badSignature.Load(), Replayed: c.replayed.Load(),
		Unproven: c.unproven.Load(), Refused: c.refused.Load(), Omitted: c.omitted.Load(),
	}
}

// dropped counts a datagram that take refused.
func (c *counters) dropped(err error) {
	if errors.Is(err, errCluster) {
		c.otherCluster.Add(1)
		return
	}
	c.malformed.Add(1)
}
