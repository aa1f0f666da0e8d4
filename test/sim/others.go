package sim

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// What tenants, operators and other programs do to Nova beside Lifeboat.

// serverWords are what may become of an instance.
var serverWords = map[string]func(n *novatest.Cloud, id nova.ServerID){
	"active":    func(n *novatest.Cloud, id nova.ServerID) { n.SetState(id, nova.VMActive) },
	"stopped":   func(n *novatest.Cloud, id nova.ServerID) { n.SetState(id, nova.VMStopped) },
	"error":     func(n *novatest.Cloud, id nova.ServerID) { n.SetState(id, nova.VMError) },
	"paused":    func(n *novatest.Cloud, id nova.ServerID) { n.SetState(id, "paused") },
	"suspended": func(n *novatest.Cloud, id nova.ServerID) { n.SetState(id, "suspended") },
	"resized":   func(n *novatest.Cloud, id nova.ServerID) { n.SetState(id, "resized") },
	"unbooted":  (*novatest.Cloud).Unlaunch,
	"locked":    (*novatest.Cloud).Lock,
	"deleted":   (*novatest.Cloud).Delete,
	"deleting":  func(n *novatest.Cloud, id nova.ServerID) { n.SetTask(id, "deleting") },
	"migrating": func(n *novatest.Cloud, id nova.ServerID) { n.SetTask(id, nova.TaskMigrating) },
	"resizing":  func(n *novatest.Cloud, id nova.ServerID) { n.SetTask(id, "resize_migrating") },
	"device": func(n *novatest.Cloud, id nova.ServerID) {
		n.SetFlavor(id, map[string]string{"trait:" + deviceTrait: "required", "resources:VGPU": "1"})
	},
	"rebooting": func(n *novatest.Cloud, id nova.ServerID) { n.SetTask(id, "rebooting") },
}

// deviceTrait is what a device of a host has, and an instance may ask for.
const deviceTrait = "CUSTOM_DEVICE"

// split reads host03/2, or host03 for all of it (0).
func split(n names, w string) (host string, i int, err error) {
	host, number, one := strings.Cut(w, "/")
	if one {
		if i, err = strconv.Atoi(number); err != nil || i < 1 {
			return "", 0, fmt.Errorf("%q is no instance: write such as host03/1", w)
		}
	}
	if !slices.Contains(n.hosts, host) {
		return "", 0, fmt.Errorf("%s is no host", host)
	}
	return host, i, nil
}

// guests are the instances that an expression names.
func (c *Cloud) guests(w string) ([]nova.ServerID, error) {
	host, i, err := split(c.setup.names(), w)
	if err != nil {
		return nil, err
	}
	all := c.lives[host]
	switch {
	case i == 0:
		return all, nil
	case i > len(all):
		return nil, fmt.Errorf("%s has %d instances", host, len(all))
	}
	return all[i-1 : i], nil
}

func isServer(n names, o order) error {
	if len(o.args) != 2 {
		return errors.New("which, and what becomes of it?")
	}
	_, _, err := split(n, o.args[0])
	if _, ok := serverWords[o.args[1]]; err == nil && !ok {
		err = fmt.Errorf("an instance cannot be %q", o.args[1])
	}
	return err
}

func server(c *Cloud, o order) (func(), error) {
	ids, err := c.guests(o.args[0])
	for _, id := range ids {
		serverWords[o.args[1]](c.nova, id)
	}
	return nil, err
}

func isService(n names, o order) error {
	if len(o.args) < 2 || !slices.Contains([]string{"enabled", "disabled", "forced-down"}, o.args[1]) {
		return errors.New("whose, and enabled, disabled or forced-down?")
	}
	return isHost(n, o.args[0])
}

// service is an operator's `openstack compute service set`.
func service(c *Cloud, o order) (func(), error) {
	reason := strings.Join(o.args[2:], " ")
	return eachHost(func(m *machine) func() {
		c.nova.SetService(m.name, o.args[1] != "enabled", reason, o.args[1] == "forced-down")
		return func() { c.nova.SetService(m.name, false, "", false) }
	})(c, o)
}

func isGuests(n names, o order) error {
	if len(o.args) != 1 {
		return errors.New("whose instances?")
	}
	_, _, err := split(n, o.args[0])
	return err
}

// masakari is another evacuator, or a person, who asks Nova to evacuate.
func masakari(c *Cloud, o order) (func(), error) {
	ids, err := c.guests(o.args[0])
	for _, id := range ids {
		if status := c.nova.EvacuateByOther(id); status != http.StatusOK {
			c.note("masakari", "Nova refuses its evacuation of %s: %d", o.args[0], status)
		}
	}
	return nil, err
}

// room is the memory that hosts have: full is as much as they use.
func isRoom(n names, o order) error {
	if len(o.args) == 2 && o.args[1] != "full" && o.args[1] != "empty" {
		if _, err := strconv.Atoi(o.args[1]); err == nil {
			return isHost(n, o.args[0])
		}
	}
	if len(o.args) != 2 || (o.args[1] != "full" && o.args[1] != "empty") {
		return errors.New("whose, and full, empty or how many MiB?")
	}
	return isHost(n, o.args[0])
}

func room(c *Cloud, o order) (func(), error) {
	const plenty = 256 << 10
	return eachHost(func(m *machine) func() {
		ram := plenty
		if n, err := strconv.Atoi(o.args[1]); err == nil {
			ram = n
		}
		if o.args[1] == "full" {
			ram = 2048 * len(c.lives[string(m.name)])
		}
		c.nova.SetRoom(m.name, ram)
		return func() { c.nova.SetRoom(m.name, plenty) }
	})(c, o)
}

// device puts one into hosts: a provider below theirs in Placement.
func device(c *Cloud, o order) (func(), error) {
	return eachHost(func(m *machine) func() {
		c.nova.AddProvider(m.name, []string{deviceTrait}, map[string]int{"VGPU": 1})
		return nil
	})(c, o)
}

// standing is what the services table says of a host, in a line.
func standing(s novatest.Service) string {
	text := "enabled"
	if s.Disabled {
		text = "disabled: " + s.Reason
	}
	if s.ForcedDown {
		text = "forced-down, " + text
	}
	return text
}

// others looks at what is left in Nova at the end.
func (j *judge) others() {
	for w, want := range j.s.Expect.Servers {
		ids, err := j.c.guests(w)
		if err != nil {
			j.miss("%v", err)
		}
		for _, id := range ids {
			v := j.c.nova.View(id)
			got := v.VMState
			if v.TaskState != "" {
				got += " " + v.TaskState
			}
			if v.Locked {
				got += " locked"
			}
			if got != want {
				j.miss("instance %s is %q at the end (on %s), expected was %q", w, got, v.Host, want)
			}
		}
	}
	for h, want := range j.s.Expect.Services {
		if got := standing(j.c.nova.Service(nova.HostName(h))); !strings.Contains(got, want) {
			j.miss("the service of %s is %q at the end, expected was %q", h, got, want)
		}
	}
	if want := j.s.Expect.Posts; j.s.counts {
		got := 0
		for _, id := range j.c.servers {
			got += j.c.nova.EvacuatePosts(id)
		}
		if got != want {
			j.miss("%d evacuations were asked for, expected were %d", got, want)
		}
	}
}
