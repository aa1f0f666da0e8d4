package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// order is one line of `do`, read but not carried out.
type order struct {
	text string
	verb string
	args []string
	on   string        // a network
	last time.Duration // 0: until something else ends it
	verbDef
}

// verbDef is one thing that a scenario can do.
type verbDef struct {
	usage string
	what  string
	// read checks the words, as far as that goes before the cloud runs.
	read func(n names, o order) error
	// do does it; undo, if there is one, ends it again.
	do func(c *Cloud, o order) (undo func(), err error)
}

// readOrder reads one line.
func readOrder(text string, n names) (order, error) {
	o := order{text: strings.TrimSpace(text)}
	words := strings.Fields(o.text)
	if len(words) == 0 {
		return o, errors.New("empty: write what to do, such as power-cut host03")
	}
	var ok bool
	if o.verbDef, ok = verbs[words[0]]; !ok {
		return o, fmt.Errorf("unknown verb %q: use one of %s", words[0], strings.Join(slices.Sorted(maps.Keys(verbs)), ", "))
	}
	o.verb, words = words[0], words[1:]
	for len(words) >= 2 {
		switch end := words[len(words)-2:]; end[0] {
		case "for":
			d, err := time.ParseDuration(end[1])
			if err != nil || d <= 0 {
				return o, fmt.Errorf("%q is no duration: write such as `for 20s`", end[1])
			}
			o.last = d
		case "on":
			if !slices.Contains([]string{Management, Storage, Tenant}, end[1]) {
				if o.verb == "operator" {
					o.args = words
					return o, o.check(n)
				}
				return o, fmt.Errorf("%q is no network: use %s, %s or %s", end[1], Management, Storage, Tenant)
			}
			o.on = end[1]
		default:
			o.args = words
			return o, o.check(n)
		}
		words = words[:len(words)-2]
	}
	o.args = words
	return o, o.check(n)
}

func (o order) check(n names) error {
	if err := o.read(n, o); err != nil {
		return fmt.Errorf("%s: %w (usage: %s)", o.verb, err, o.usage)
	}
	return nil
}

// perform carries an order out now.
func (c *Cloud) perform(o order) {
	c.note("do", "%s", o.text)
	undo, err := o.do(c, o)
	c.watch.topology()
	if err != nil {
		c.note("do", "%s: %v", o.text, err)
		c.watch.broken("the scenario cannot be played: %s: %v", o.text, err)
		return
	}
	if o.last > 0 && undo != nil {
		c.work.Go(func() {
			if !c.wait(o.last) {
				return
			}
			c.note("do", "end of: %s", o.text)
			undo()
			c.watch.topology()
		})
	}
}

// wait is a pause that the end of the cloud ends.
func (c *Cloud) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.watch.done:
		return false
	}
}

// armed is an order that waits for a point in the leader's work.
type armed struct {
	point string
	order order
	done  bool
}

func (c *Cloud) arm(point string, o order) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = append(c.armed, &armed{point: point, order: o})
}

func (c *Cloud) disarm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = nil
}

// reached is told of each point that a controller's engine reaches. Who dies or is
// frozen there does not go on.
func (c *Cloud) reached(_ *voter, r *voterRun, point string) {
	for {
		var next *armed
		c.mu.Lock()
		for _, a := range c.armed {
			if a.point == point && !a.done {
				next, a.done = a, true
				break
			}
		}
		c.mu.Unlock()
		if next == nil {
			break
		}
		c.note("do", "at %s:", point)
		c.perform(next.order)
	}
	if !r.proc.awake(c.ctx) {
		time.Sleep(10 * tick) // its end takes a moment
	}
}

// waiting are the orders whose point was never reached.
func (c *Cloud) waiting() (points []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.armed {
		if !a.done {
			points = append(points, a.point)
		}
	}
	return points
}
