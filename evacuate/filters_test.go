package evacuate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// equipped is a cloud in which cmp1 is dead; cmp2 and cmp3 live and have room.
func equipped(change func(c *Core)) *Core {
	c := aiming()
	for _, h := range []nova.HostName{"cmp1", "cmp4"} {
		delete(c.world.Rooms.By, h)
	}
	for h, r := range c.world.Rooms.By {
		r.Traits, r.Own, r.Classes = []string{"COMPUTE_NODE", "CUSTOM_GPU"}, []string{"COMPUTE_NODE"}, map[string]int{"VGPU": 2}
		if h != "cmp2" {
			r.Traits, r.Classes = r.Own, nil
		}
		c.world.Rooms.By[h] = r
	}
	change(c)
	return c
}

// TestLacks has one host that is equipped, cmp2, and one that is not, cmp3.
func TestLacks(t *testing.T) {
	in := func(key, word string, hosts ...nova.HostName) func(*Core) {
		return func(c *Core) {
			c.world.Nova.Aggregates = append(c.world.Nova.Aggregates, nova.Aggregate{Name: key, Hosts: hosts, Metadata: map[string]string{key: word}})
		}
	}
	cells := func(words ...string) func(*Core) {
		return func(c *Core) {
			c.world.Cells = map[nova.HostName]string{"cmp1": words[0], "cmp2": words[1], "cmp3": words[2]}
		}
	}
	none := func(*Core) {}
	spec := func(word string) nova.Asks { return nova.Asks{Aggregates: map[string]string{"ssd": word}} }
	for name, tt := range map[string]struct {
		asks       nova.Asks
		change     func(c *Core)
		taken      map[string]int
		cmp2, cmp3 shortfall
	}{
		"nothing asked":                        {nova.Asks{}, none, nil, lacksNothing, lacksNothing},
		"a trait":                              {nova.Asks{Required: []string{"CUSTOM_GPU"}}, none, nil, lacksNothing, lacksSurely},
		"a trait that no host has":             {nova.Asks{Required: []string{"CUSTOM_B100"}}, none, nil, lacksPerhaps, lacksPerhaps},
		"one that some have, one that nobody":  {nova.Asks{Required: []string{"CUSTOM_B100", "CUSTOM_GPU"}}, none, nil, lacksPerhaps, lacksSurely},
		"a trait of its image":                 {nova.Asks{Image: []string{"CUSTOM_GPU"}}, none, nil, lacksNothing, lacksPerhaps},
		"a trait that is forbidden":            {nova.Asks{Forbidden: []string{"COMPUTE_NODE"}}, none, nil, lacksSurely, lacksSurely},
		"forbidden, and below the host only":   {nova.Asks{Forbidden: []string{"CUSTOM_GPU"}}, none, nil, lacksNothing, lacksNothing},
		"a class":                              {nova.Asks{Classes: map[string]int{"VGPU": 2}}, none, nil, lacksNothing, lacksSurely},
		"more of a class than is left":         {nova.Asks{Classes: map[string]int{"VGPU": 3}}, none, nil, lacksSurely, lacksSurely},
		"a class that is on its way to others": {nova.Asks{Classes: map[string]int{"VGPU": 1}}, none, map[string]int{"VGPU": 2}, lacksSurely, lacksSurely},
		"a class that no host has":             {nova.Asks{Classes: map[string]int{"CUSTOM_X": 1}}, none, nil, lacksPerhaps, lacksPerhaps},
		"cells":                                {nova.Asks{}, cells("one", "one", "two"), nil, lacksNothing, lacksPerhaps},
		"cells that are not said of all":       {nova.Asks{}, cells("one", "", "two"), nil, lacksNothing, lacksPerhaps},
		"the dead one's cell is not said":      {nova.Asks{}, cells("", "one", "two"), nil, lacksNothing, lacksNothing},
		"cells by aggregate":                   {nova.Asks{}, func(c *Core) { in(keyCell, "one", "cmp1", "cmp2")(c); in(keyCell, "two", "cmp3")(c) }, nil, lacksNothing, lacksPerhaps},
		"two cells by aggregate say none":      {nova.Asks{}, func(c *Core) { in(keyCell, "one", "cmp1", "cmp3")(c); in(keyCell, "two", "cmp3")(c) }, nil, lacksNothing, lacksNothing},
		"the configuration's cell wins":        {nova.Asks{}, func(c *Core) { in(keyCell, "two", "cmp2")(c); cells("one", "one", "")(c) }, nil, lacksNothing, lacksNothing},
		"of an aggregate":                      {spec("true"), in("ssd", "true", "cmp1", "cmp2"), nil, lacksNothing, lacksPerhaps},
		"of one of several words":              {spec("true"), func(c *Core) { in("ssd", "false,true", "cmp1", "cmp2")(c); in("ssd", "no", "cmp3")(c) }, nil, lacksNothing, lacksPerhaps},
		"of either":                            {spec("<or> a <or> b"), func(c *Core) { in("ssd", "b", "cmp1", "cmp2")(c); in("ssd", "c", "cmp3")(c) }, nil, lacksNothing, lacksPerhaps},
		"by a comparison":                      {spec(">= 4"), in("ssd", "5", "cmp1", "cmp2"), nil, lacksNothing, lacksPerhaps},
		"of no aggregate of the dead one's":    {spec("true"), in("ssd", "true", "cmp2"), nil, lacksNothing, lacksNothing},
		"another project's host":               {nova.Asks{}, in("filter_tenant_id", "p7, p8", "cmp3"), nil, lacksNothing, lacksPerhaps},
		"its project's host":                   {nova.Asks{}, in("filter_tenant_id", "p7,p1", "cmp3"), nil, lacksNothing, lacksNothing},
		"not asked where it was":               {nova.Asks{}, in("filter_tenant_id", "p7", "cmp1", "cmp3"), nil, lacksNothing, lacksNothing},
		"an aggregate kept for a trait":        {nova.Asks{}, in("trait:CUSTOM_WINDOWS", "required", "cmp3"), nil, lacksNothing, lacksPerhaps},
		"kept for a trait that is asked":       {nova.Asks{Image: []string{"COMPUTE_NODE"}}, in("trait:COMPUTE_NODE", "required", "cmp3"), nil, lacksNothing, lacksNothing},
	} {
		c := equipped(tt.change)
		f := c.world.filters()
		n := &need{asks: tt.asks, project: "p1", home: "cmp1"}
		if two, three := f.lacks(n, "cmp2", tt.taken), f.lacks(n, "cmp3", tt.taken); two != tt.cmp2 || three != tt.cmp3 {
			t.Errorf("%s: %d and %d, want %d and %d", name, two, three, tt.cmp2, tt.cmp3)
		}
	}
}

// What is on its way takes of a class too, and what has no destination yet from each host.
func TestLoadOfClasses(t *testing.T) {
	gpu := nova.Asks{Classes: map[string]int{"VGPU": 1}}
	c := equipped(func(*Core) {})
	r := &Recovery{ID: "r1", Host: "cmp1", Status: StatusOpen, Evacuations: []*Evacuation{
		{Server: "vm1", State: EvacFollowing, Dest: "cmp2", Intent: t0, Asks: gpu},
		{Server: "vm2", State: EvacPlanned, Asks: gpu},
	}}
	c.state.Recoveries["r1"] = r
	if !c.suits(r, r.Evacuations[1], "cmp2", c.load()) {
		t.Error("one of two is left, and does not do")
	}
	r.Evacuations = append(r.Evacuations, &Evacuation{Server: "vm3", State: EvacIntent, Intent: t0, Asks: gpu})
	if c.suits(r, r.Evacuations[1], "cmp2", c.load()) {
		t.Error("one is on its way there, one may be, and a third is sent")
	}
	c.world.Now = c.world.Now.Add(claimed)
	c.world.Rooms.At = c.world.Now
	if !c.suits(r, r.Evacuations[1], "cmp2", c.load()) {
		t.Error("nobody takes vm3, and what vm1 took Placement knows by now")
	}
}

// Two that ask for a class are not both sent where one is left, though Nova chooses where.
func TestOneOfAClass(t *testing.T) {
	c := newCloud(t, 2)
	c.ram = map[nova.HostName]int{"cmp1": 1 << 16, "cmp2": 1 << 16}
	c.offerOf("cmp2").classes["VGPU"] = 1
	for _, id := range []nova.ServerID{"vm1", "vm2"} {
		c.addServer(id, "cmp1", nova.VMActive, c.start).FlavorExtra = map[string]string{"resources:VGPU": "1"}
	}
	c.run(time.Second)
	c.host("cmp1").off()
	c.run(surelyPatience / 2)
	sent := 0
	for _, e := range c.recovery("cmp1").Evacuations {
		sent += e.Attempt
	}
	if sent != 1 {
		t.Errorf("%d were sent", sent)
	}
}

// Whatever hosts are said to lack, one that finds room by its size is sent within
// surelyPatience: a what-if that is wrong starves nobody. One that asks for nothing is not
// kept at all where nothing is said of cells and aggregates.
func TestNobodyStarves(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 3))
	pick := func(words ...string) string { return words[rng.IntN(len(words))] }
	for i := range 3000 {
		c := equipped(func(c *Core) {
			for host, r := range c.world.Rooms.By {
				r.Traits, r.Classes = []string{pick("A", "B")}, map[string]int{pick("X", "Y"): rng.IntN(4)}
				r.Own = r.Traits
				c.world.Rooms.By[host] = r
			}
		})
		plain := rng.IntN(4) == 0
		if !plain {
			c.world.Cells = map[nova.HostName]string{"cmp1": pick("", "one"), "cmp2": pick("one", "two"), "cmp3": pick("", "two")}
			c.world.Nova.Aggregates = []nova.Aggregate{{Hosts: []nova.HostName{"cmp1", nova.HostName(pick("cmp2", "cmp3"))}, Metadata: map[string]string{pick("ssd", "filter_tenant_id", "trait:A"): pick("true", "p1", "required")}}}
		}
		e := &Evacuation{Server: "vm1", State: EvacPlanned, Project: "p1", Size: nova.Size{VCPUs: 1, RAMMiB: 1024}, NoHost: rng.IntN(2) == 0}
		if !plain {
			e.Asks = nova.Asks{Required: []string{pick("A", "B", "C")}, Forbidden: []string{pick("A", "C")}, Classes: map[string]int{pick("X", "Y", "Z"): 1 + rng.IntN(4)}, Aggregates: map[string]string{"ssd": pick("true", "no")}}
		}
		r := &Recovery{ID: "r1", Host: "cmp1", Status: StatusOpen}
		why := c.noRoom(r, e, c.load())
		if plain && why != "" {
			t.Fatalf("%d: it asks for nothing: %s", i, why)
		}
		c.world.Now = c.world.Now.Add(surelyPatience)
		c.world.Rooms.At = c.world.Now
		if again := c.noRoom(r, e, c.load()); again != "" {
			t.Fatalf("%d: it waits for good: %s", i, again)
		}
		if why != "" && !strings.HasPrefix(why, waitsRoom) {
			t.Fatalf("%d: %s", i, why)
		}
	}
}

// Capacity counts what else is asked for, and tells what is short from what is lacking; the
// gate holds for neither where there is room.
func TestCapacityOfAsks(t *testing.T) {
	gpu := map[string]string{"trait:CUSTOM_GPU": "required", "resources:VGPU": "1"}
	stockedWith := func(devices ...int) *World {
		w := stocked(4, 1, 1)
		for i := range w.Servers["cmp1"] {
			w.Servers["cmp1"][i].FlavorExtra = gpu
		}
		for i, n := range devices {
			host := nova.HostName(fmt.Sprintf("cmp%d", i+1))
			r := w.Rooms.By[host]
			if r.Classes = map[string]int{"VGPU": n}; n > 0 {
				r.Traits = []string{"CUSTOM_GPU"}
			}
			w.Rooms.By[host] = r
		}
		return w
	}
	for name, tt := range map[string]struct {
		devices       []int
		fits, lacking int
		spare         string
	}{
		"none elsewhere": {[]int{4, 0, 0}, 0, 4, "of 0 more; after that cmp1 would leave 4 instances behind, 4 of them for what they ask beside room"},
		"some":           {[]int{4, 3, 0}, 3, 1, "of 0 more; after that cmp1 would leave 1 instances behind, 1 of them"},
		"enough on two":  {[]int{4, 3, 1}, 4, 0, "of 1 more; after that cmp2 would leave 3 instances behind, 3 of them"},
	} {
		w := stockedWith(tt.devices...)
		if got := CapacityOf(w, DefaultPolicy(), "cmp1"); got.Fits != tt.fits || got.Lacking != tt.lacking || got.Of != 4 || (got.Reason == "") != (tt.fits == 4) {
			t.Errorf("%s: %+v", name, got)
		}
		if got := SpareOf(w, DefaultPolicy()).Text(); !strings.Contains(got, tt.spare) {
			t.Errorf("%s: %s", name, got)
		}
		w.Verdicts["cmp1"] = detector.Verdict{State: detector.Dead}
		if got, why := askCapacity(question{host: "cmp1", world: w, policy: DefaultPolicy()}); got == Held {
			t.Errorf("%s: held: %s", name, why)
		}
	}
}
