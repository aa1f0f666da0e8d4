package evacuate

import "fmt"

// Capacity is what is known of room for a host's protected instances elsewhere.
type Capacity struct {
	Known bool `json:"known"`
	Fits  int  `json:"fits"`
	Of    int  `json:"of"`
	// Lacking would find room, and no host that is known to have all that they ask for
	// beside it.
	Lacking int    `json:"lacking,omitempty"`
	Reason  string `json:"reason,omitempty"` // why some do not fit, or why it is not known
}

// askCapacity warns of those that stay behind, and holds only where it is known
// that none fits by its size: saving some is better than saving none, and what else Nova
// asks for is not certain.
func askCapacity(q question) (Standing, string) {
	c := q.world.Capacity[q.host]
	switch {
	case q.world.Capacity == nil && q.world.Rooms.By == nil && q.world.Rooms.Err == "":
		return NotConfigured, "nobody asks Placement whether the instances fit elsewhere"
	case q.world.Capacity == nil && !q.world.Verdicts[q.host].Down():
		return Met, "asked of Placement when it is down"
	case q.world.Capacity == nil:
		c = CapacityOf(q.world, q.policy, q.host)
	}
	switch {
	case !c.Known:
		return Warns, "it is not known whether the instances fit elsewhere" + because(c.Reason)
	case c.Fits+c.Lacking == 0 && c.Of > 0:
		return Held, fmt.Sprintf("none of %d instances fits elsewhere%s", c.Of, because(c.Reason))
	case c.Fits < c.Of:
		return Warns, fmt.Sprintf("%d of %d instances fit elsewhere%s", c.Fits, c.Of, because(c.Reason))
	}
	return Met, fmt.Sprintf("all %d instances fit elsewhere", c.Of)
}
