package evacuate

import (
	"fmt"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// BenchmarkTick is one thought of the engine, of which a leader has four a second:
// while all is well, and with a dead host whose BMC is silent.
func BenchmarkTick(b *testing.B) {
	for _, hosts := range []int{100, 1000} {
		for _, dead := range []bool{false, true} {
			b.Run(fmt.Sprintf("hosts=%d/dead=%t", hosts, dead), func(b *testing.B) {
				c := newCloud(b, hosts)
				c.quieter = true
				c.addServer("vm1", "cmp1", nova.VMActive, c.start)
				if dead {
					c.host("cmp1").bmc = bmcUnreachable
					c.host("cmp1").off()
				}
				c.run(time.Minute)
				w := c.world()
				for b.Loop() {
					c.core.Tick(c.state, w)
				}
			})
		}
	}
}
