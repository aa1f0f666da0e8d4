package gossip

import (
	"fmt"

	"github.com/hashicorp/memberlist"
)

// maxMessage is the greatest message: memberlist adds its own to a packet.
const maxMessage = 1300

// Send carries a message to a member that is held for alive, once, as best it can.
// Who it came from is for the message to prove.
func (m *Member) Send(to string, message []byte) error {
	if len(message) > maxMessage {
		return fmt.Errorf("send to %s in the ring: %d bytes, %d are possible", to, len(message), maxMessage)
	}
	m.mu.Lock()
	list, p := m.list(), m.peers[to]
	alive := p != nil && p.state == Alive && p.Addr.IsValid()
	m.mu.Unlock()
	if list == nil || !alive {
		return fmt.Errorf("send to %s in the ring: it is not here", to)
	}
	node := &memberlist.Node{Name: to, Addr: p.Addr.Addr().AsSlice(), Port: p.Addr.Port()}
	if err := list.SendBestEffort(node, message); err != nil {
		return fmt.Errorf("send to %s in the ring: %w", to, err)
	}
	return nil
}

// NotifyMsg hands a copy of a message on; memberlist reuses its own.
func (d *delegate) NotifyMsg(b []byte) {
	if d.m.o.OnMessage != nil && len(b) <= maxMessage {
		d.m.o.OnMessage(append([]byte(nil), b...))
	}
}
