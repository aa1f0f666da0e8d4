package novatest

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

type controlService struct {
	id, host string
	up       bool
	since    time.Time
}

// SetControl starts or stops the conductors or schedulers. A conductor that
// comes back takes the casts that waited in its queue, however old.
func (c *Cloud) SetControl(binary string, up bool) {
	c.set(func() {
		c.control[binary].up, c.control[binary].since = up, c.now()
		if binary == nova.Conductor && up {
			pending := c.pending
			c.pending = nil
			for _, work := range pending {
				c.after(c.opts.Schedule/2, work)
			}
		}
	})
}

// SetBroker takes the message broker down or up. While it is down no service
// can report, so after a while every host reads as down although all live.
func (c *Cloud) SetBroker(up bool) {
	c.set(func() {
		c.settle()
		c.brokerDown = !up
		c.settle()
	})
}

// SetSkew moves the API's clock away from the truth.
func (c *Cloud) SetSkew(d time.Duration) { c.set(func() { c.skew = d }) }

// SetPolicy changes what the account may do.
func (c *Cloud) SetPolicy(p Policy) { c.set(func() { c.policy = p }) }

// SetCell makes a cell's database reachable or not.
func (c *Cloud) SetCell(cell string, up bool) { c.set(func() { c.downCells[cell] = !up }) }

// SetKeystone takes Keystone down or up. Tokens that Nova knows stay valid.
func (c *Cloud) SetKeystone(up bool) { c.set(func() { c.loginDown = !up }) }

// RevokeTokens makes every token invalid at once.
func (c *Cloud) RevokeTokens() { c.set(func() { clear(c.tokens) }) }

// controlUp: conductors and schedulers report through the broker too.
func (c *Cloud) controlUp(s *controlService) bool { return s.up && !c.brokerDown }
