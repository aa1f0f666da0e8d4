package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// machineOf is what a fake host and its BMC say of its machine.
func machineOf(h nova.HostName) fence.Identity {
	return fence.Identity{Serial: "SN-" + strings.ToUpper(string(h))}
}

// wired is a host whose BMC read on, and said that it is the host's, an hour ago.
func wired(h nova.HostName, now time.Time) Fencing {
	at := now.Add(-time.Hour)
	return Fencing{Methods: []string{"redfish"}, PoweredOn: at,
		Links: []FenceLink{{Method: "redfish", Target: "https://bmc", Check: FenceCheck{Method: "redfish", Target: "https://bmc", At: at, Machine: machineOf(h)}}}}
}

// far is what only others reach.
func far(f Fencing, now time.Time) Fencing {
	f.Unreached = true
	for _, id := range []string{"ctl3", "ctl1", "ctl2"} {
		f.Hands = append(f.Hands, Hand{ID: id, On: now.Add(-time.Minute), Methods: f.Methods})
	}
	return f
}

// BMC behaviours of a fake host.
const (
	bmcOK          = "ok"
	bmcUnreachable = "unreachable"
	bmcAuth        = "auth"
	bmcLies        = "lies"  // says ok to off, stays on and says so
	bmcWrong       = "wrong" // turns another machine off: a proof that is false
	bmcFar         = "far"   // the leader does not reach it, the others do
)

// bootTime is what a fake host takes from power to its first heartbeat.
const bootTime = 20 * time.Second

type fakeHost struct {
	name    nova.HostName
	boot    string
	boots   int
	power   bool
	hung    bool // powered, guests run, nothing is heard
	up      bool // its agent and its nova-compute run
	upAt    time.Time
	heard   time.Time
	heardAs string    // the boot id of the last heartbeat
	silent  time.Time // since when; zero while it is heard
	bmc     string
	service nova.Service
	verdict detector.State // overrides the scripted detection
	dump    time.Time      // it writes a dump since
	onRead  time.Time      // the BMC read on at that time, whatever is heard
	guests  map[nova.ServerID]bool
	stays   bool // nova-compute does not start after power-on
	// cleaned is the boot, or the start of nova-compute, that has cleaned up; cleans says
	// that it does now.
	cleaned int
	starts  int
	cleans  bool
	lags    bool // Nova takes its nova-compute for up, whatever it does
	cut     bool // its storage is taken away
}

type fakeRow struct {
	nova.Migration
	spawn time.Duration // of a model
	fate  string
	moves time.Time
	to    nova.Target
	boot  int // the destination's that has claimed it
}

// latePost is a request that a proxy holds back: its caller has timed out.
type latePost struct {
	server nova.ServerID
	from   nova.HostName
	at     time.Time
}

// fakeWorld is hosts with power and a Nova that keeps its rules.
type fakeWorld struct {
	hosts    []*fakeHost
	servers  []*nova.Server
	rows     []*fakeRow
	posts    map[nova.ServerID]int
	postFate map[nova.ServerID][]string // accepted, lost, timeout, refused
	rowFate  map[nova.ServerID][]string // done, failed, novalidhost, stuck
	novaDown bool
	late     []latePost
	// aggregates is what Nova tells of them.
	aggregates map[nova.HostName][]string
	// offers is what hosts have beside room.
	offers map[nova.HostName]*offer
	// moves are live migrations and resizes, resetFate what becomes of resets: timeout,
	// lost, refused.
	moves     []nova.Migration
	resetFate map[nova.ServerID][]string
	reserved  []nova.HostName // in order
	// homing are live migrations under way, homeFate what becomes of them.
	homing   []homing
	homeFate map[nova.ServerID][]string
	// deaf are servers of which no port answers.
	deaf map[nova.ServerID]bool
	// refused are reserved hosts that Nova does not let join.
	refused map[nova.HostName]bool
	// ram is what each host has; nil: Placement is not asked.
	ram map[nova.HostName]int
	// keeps are servers whose allocation at the source Nova can't take away.
	keeps map[nova.ServerID]bool
	// model is how long Nova takes; nil: always the same.
	model *novaModel
	lied  bool // a BMC was scripted to prove another machine off
	// hook says that a program takes storage away; hookFate is what becomes of its calls:
	// fails, lost (done, and its answer lost).
	hook     bool
	hookFate []string
	// libvirt says that the hosts tell which instances they run, but for those of mute.
	libvirt bool
	// services are the words of a host's services.
	services map[nova.HostName]string
	// condition is the whole cloud's; "": none is told.
	condition detector.Condition
	// unserved are heard and to be fenced for such a service.
	unserved map[nova.HostName]bool
	ends     []detector.GuestEvent
	// guestFate is what becomes of a stop or a start: lost, timeout (done, no answer),
	// conflict, refused, never (taken, and nothing comes of it).
	guestFate map[string]string
	asked     []string // stops and starts that Nova was asked for
	// misread changes what is read of a moved instance.
	misread map[nova.ServerID]func(*InstanceRead, time.Time)
	// stopFate is what becomes of stops of what was moved: lost, timeout, conflict, refused.
	stopFate map[nova.ServerID][]string
	mute     map[nova.HostName]bool
	// restless: no two lists of one host agree.
	restless bool
}

func newFakeWorld() *fakeWorld {
	return &fakeWorld{posts: map[nova.ServerID]int{}, postFate: map[nova.ServerID][]string{}, rowFate: map[nova.ServerID][]string{}, resetFate: map[nova.ServerID][]string{}, keeps: map[nova.ServerID]bool{}, refused: map[nova.HostName]bool{}, deaf: map[nova.ServerID]bool{}, homeFate: map[nova.ServerID][]string{}}
}

func (w *fakeWorld) addHost(name nova.HostName, now time.Time) *fakeHost {
	h := &fakeHost{name: name, boot: string(name) + "-b1", boots: 1, power: true, up: true, heard: now, heardAs: string(name) + "-b1", bmc: bmcOK,
		service: nova.Service{ID: "s-" + string(name), Host: name}, guests: map[nova.ServerID]bool{}}
	w.hosts = append(w.hosts, h)
	return h
}

func (w *fakeWorld) host(name nova.HostName) *fakeHost {
	for _, h := range w.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

func (w *fakeWorld) addServer(id nova.ServerID, on nova.HostName, state string, now time.Time) *nova.Server {
	s := &nova.Server{ID: id, Name: string(id), Host: on, VMState: state, VolumeBooted: true, LaunchedAt: now.Add(-time.Hour), RAMMiB: 1024}
	w.servers = append(w.servers, s)
	if state == nova.VMActive {
		w.host(on).guests[id] = true
	}
	return s
}

func (w *fakeWorld) server(id nova.ServerID) *nova.Server {
	for _, s := range w.servers {
		if s.ID == id {
			return s
		}
	}
	return nil
}

func (h *fakeHost) off() {
	h.power, h.up, h.hung, h.upAt = false, false, false, time.Time{}
	clear(h.guests)
}

func (h *fakeHost) on(now time.Time) {
	if h.power {
		return
	}
	h.power, h.hung, h.upAt = true, false, now.Add(bootTime)
	h.boots++
	h.starts++
	h.boot = fmt.Sprintf("%s-b%d", h.name, h.boots)
}

// move lets a pulse pass and tells what happened.
func (w *fakeWorld) move(now time.Time) []string {
	var lines []string
	for _, h := range w.hosts {
		if h.power && !h.up && !h.upAt.IsZero() && !now.Before(h.upAt) {
			h.up = true
			lines = append(lines, fmt.Sprintf("%s has booted as %s", h.name, h.boot))
		}
		if h.up && !h.hung {
			h.heard, h.heardAs, h.silent = now, h.boot, time.Time{}
		} else if h.silent.IsZero() {
			h.silent = h.heard
		}
		h.service.State = nova.StateDown
		if (h.up && !h.hung || h.lags) && !h.service.ForcedDown && !h.stays {
			h.service.State = nova.StateUp
		}
		h.service.UpdatedAt = h.heard
	}
	w.late = slices.DeleteFunc(w.late, func(l latePost) bool {
		s := w.server(l.server)
		if s != nil && !now.Before(l.at) && s.Host == l.from {
			w.accept(s, l.from, now, nova.Target{})
			lines = append(lines, fmt.Sprintf("the late POST of %s arrives", l.server))
		}
		return !now.Before(l.at)
	})
	w.home(now)
	for _, h := range w.hosts {
		h.cleans = h.up && !h.hung && !h.stays && h.cleaned < h.starts && now.Sub(h.upAt) > 3*time.Second
		if h.cleans {
			h.cleaned = h.starts
		}
	}
	for _, r := range w.rows {
		if line := w.moveRow(r, now); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

func (w *fakeWorld) moveRow(r *fakeRow, now time.Time) string {
	src := w.host(r.Source)
	if w.server(r.Server) == nil && !r.Status.Terminal() {
		r.Status = nova.MigrationError // deleted under it
		return ""
	}
	if src.cleans && w.lastUncleaned(r) {
		r.Status, r.UpdatedAt = nova.MigrationCompleted, now
		delete(src.guests, r.Server)
		return fmt.Sprintf("row %d of %s: completed", r.ID, r.Server)
	}
	if r.Status.Terminal() || now.Before(r.moves) || r.fate == "stuck" {
		return ""
	}
	s := w.server(r.Server)
	switch {
	case r.fate == "unclaimed": // it lies in its destination's queue until that comes back
		if d := w.host(r.Dest); d.up && !d.hung && d.boots > 1 {
			r.fate, r.Status, r.moves, r.boot = "", nova.MigrationPreMigrating, now.Add(3*time.Second), d.boots
		}
		return ""
	case r.Status == nova.MigrationAccepted:
		dest := w.schedule(r.Source, r.to, s)
		if dest == nil || r.fate == "novalidhost" {
			r.Status, s.VMState, s.TaskState, s.Fault = nova.MigrationError, nova.VMError, "", "No valid host was found"
			break
		}
		r.Status, r.Dest, r.moves, r.boot = nova.MigrationPreMigrating, dest.name, now.Add(3*time.Second), dest.boots
		if w.model != nil {
			r.moves = now.Add(r.spawn)
		}
	case r.fate == "failed": // its claim, which leaves the state
		r.Status, s.TaskState = nova.MigrationFailed, ""
	case w.host(r.Dest).guests[s.ID]: // Nova looks
		w.fails(r, s, now, "Instance "+s.Name+" already exists.")
	case r.fate == "broken": // before its guest ran, in words that say nothing
		w.fails(r, s, now, "libvirtError")
	case r.fate == "no-port":
		w.fails(r, s, now, "Binding failed for port 1, please check neutron logs for more information.")
		s.FaultCode = 400
	case r.fate == "left": // after its guest ran
		w.host(r.Dest).guests[s.ID] = true
		w.fails(r, s, now, "MessagingTimeout")
	case r.fate == "flips": // and dies before it writes done
		s.Host, s.TaskState, r.fate = r.Dest, "", "stuck"
		w.host(r.Dest).guests[s.ID] = true
	case w.orphan(r) || !w.host(r.Dest).up || w.host(r.Dest).hung || r.fate == "halfway":
		return "" // it died under it: the row stays for ever
	default:
		r.Status, s.Host, s.TaskState = nova.MigrationDone, r.Dest, ""
		if s.VMState != nova.VMStopped {
			s.VMState = nova.VMActive
			w.host(r.Dest).guests[s.ID] = true
		}
	}
	return fmt.Sprintf("row %d of %s: %s %s", r.ID, r.Server, r.Status, r.Dest)
}

// orphan says that the destination died after it had claimed a row: no later boot of it
// goes on with that.
func (w *fakeWorld) orphan(r *fakeRow) bool {
	d := w.host(r.Dest)
	return r.boot > 0 && (d.boots != r.boot || !d.power)
}

// fails is a rebuild that fails at its destination after its claim.
func (w *fakeWorld) fails(r *fakeRow, s *nova.Server, now time.Time, why string) {
	r.Status, r.UpdatedAt = nova.MigrationFailed, now
	s.VMState, s.TaskState, s.Fault, s.FaultCode, s.FaultAt = nova.VMError, "", why, 500, now
}

// lastUncleaned says that a row is the one of its server that a start of its source's
// nova-compute cleans: the last of those that are open or done.
func (w *fakeWorld) lastUncleaned(r *fakeRow) bool {
	var last *fakeRow
	for _, x := range w.rows {
		if x.Server == r.Server && x.Source == r.Source && uncleaned(x.Status) {
			last = x
		}
	}
	return last == r
}

// schedule takes the host with the fewest servers, as Nova sees hosts.
func (w *fakeWorld) schedule(not nova.HostName, to nova.Target, s *nova.Server) *fakeHost {
	var best *fakeHost
	least := 0
	for _, h := range w.hosts {
		if h.name == not || h.service.Disabled || h.service.State != nova.StateUp || to.Host != "" && h.name != to.Host {
			continue
		}
		if w.ram != nil && w.left(h.name) < s.RAMMiB || !to.Force && w.forbids(h.name, s) || !w.gives(h.name, not, s) {
			continue
		}
		n := 0
		for _, s := range w.servers {
			if s.Host == h.name {
				n++
			}
		}
		for _, r := range w.rows {
			if r.Dest == h.name && !r.Status.Terminal() {
				n++
			}
		}
		if best == nil || n < least {
			best, least = h, n
		}
	}
	return best
}

// twice finds instances that run on two hosts. A BMC that proves another
// machine off can't be seen through.
func (w *fakeWorld) twice() []string {
	var out []string
	for _, s := range w.servers {
		n := 0
		for _, h := range w.hosts {
			if h.guests[s.ID] {
				n++
			}
		}
		if n > 1 && !w.lied {
			out = append(out, fmt.Sprintf("%s runs on %d hosts", s.ID, n))
		}
	}
	return out
}

// detect is a stand-in for the detector: silent 3 s is suspect, 4.5 s with the
// BMC reading off is dead, 6 s otherwise.
func (h *fakeHost) detect(now time.Time, known string) (detector.State, detector.Reason) {
	if h.verdict != "" {
		return h.verdict, detector.ReasonInvestigating
	}
	if h.silent.IsZero() {
		if known != "" && known != h.boot {
			return detector.Rebooted, detector.ReasonNewBoot
		}
		return detector.Healthy, detector.ReasonHeartbeat
	}
	switch d := now.Sub(h.silent); {
	case d <= 3*time.Second:
		return detector.Healthy, detector.ReasonHeartbeat
	case d >= 4500*time.Millisecond && !h.power && h.bmc == bmcOK:
		return detector.Dead, detector.ReasonPowerOff
	case d >= 6*time.Second:
		return detector.Dead, detector.ReasonSilent
	}
	return detector.Suspect, detector.ReasonInvestigating
}

func (w *fakeWorld) world(now time.Time, s *State) World {
	x := World{Now: now, Verdicts: map[nova.HostName]detector.Verdict{}, Heard: map[nova.HostName]Heard{},
		Servers: map[nova.HostName][]nova.Server{}, Fencing: map[nova.HostName]Fencing{}, Storage: map[nova.HostName]Storage{}, Terms: map[string]uint64{}}
	x.Cloud.Condition = w.condition
	x.Kdump = KdumpSight{Listening: true, Dumps: map[nova.HostName]Dump{}}
	x.Nova = NovaSight{At: now, AggregatesAt: now, Services: map[nova.HostName]nova.Service{}, Schedulers: 1, Conductors: 1}
	if w.novaDown {
		x.Nova.At, x.Nova.Err = now.Add(-time.Minute), "connection refused"
	}
	x.Network = NetworkSight{Voters: 3, Fresh: 3, Known: len(w.hosts)}
	for _, h := range w.hosts {
		known := ""
		if k := s.Hosts[h.name]; k != nil {
			known = k.Boot
		}
		state, reason := h.detect(now, known)
		v := detector.Verdict{Host: h.name, State: state, Reason: reason, Detail: string(reason), At: now, Silent: now.Sub(h.heard),
			View: detector.View{Host: h.name, At: now, Boot: h.heardAs}}
		if word := w.services[h.name]; word != "" {
			v.View.Sensors = map[string]string{detector.SensorService + "libvirtd.service": word}
		}
		if w.unserved[h.name] && state == detector.Healthy {
			v.State, v.Reason, v.Means = detector.Degraded, detector.ReasonServiceFailed, detector.MeansFence
		}
		if !h.onRead.IsZero() {
			v.View.Power = []detector.PowerSight{{Power: "on", Age: now.Sub(h.onRead)}}
		}
		x.Verdicts[h.name] = v
		if h.dump.After(h.heard) {
			x.Kdump.Dumps[h.name] = Dump{First: h.dump, Last: now}
		}
		x.Heard[h.name] = Heard{At: h.heard, Boot: h.heardAs}
		x.Nova.Services[h.name] = h.service
		x.Fencing[h.name] = wired(h.name, now)
		if h.bmc == bmcFar {
			x.Fencing[h.name] = far(x.Fencing[h.name], now)
		}
		if w.hook {
			f := x.Fencing[h.name]
			f.Storage = "cut-storage"
			x.Fencing[h.name] = f
		}
		if h.silent.IsZero() {
			x.Network.Heard++
		}
	}
	if w.ram != nil {
		x.Rooms = RoomSight{At: now, By: map[nova.HostName]nova.Room{}}
		for host := range w.ram {
			x.Rooms.By[host] = w.offered(host, nova.Room{Left: nova.Size{VCPUs: 1000, RAMMiB: w.left(host), DiskGiB: 1000}, Disabled: w.host(host).service.Disabled})
		}
	}
	x.Aggregates, x.Nova.Aggregates, x.Cells = w.aggregates, w.told(), w.cells()
	x.Reserved = w.reserved
	for _, h := range w.hosts {
		x.Servers[h.name] = nil // listed
	}
	for _, v := range w.servers {
		x.Servers[v.Host] = append(x.Servers[v.Host], *v)
	}
	x.Ends = w.ends
	if w.libvirt {
		x.Guests = w.running(now)
	}
	return x
}

// running is what the hosts that are heard tell of their guests. There is no time in
// which a twin settles.
func (w *fakeWorld) running(now time.Time) *detector.GuestSight {
	g := &detector.GuestSight{Told: map[nova.HostName]bool{}, Running: map[nova.ServerID][]nova.HostName{}}
	for _, h := range w.hosts {
		if h.silent.IsZero() && h.up && !w.mute[h.name] {
			g.Told[h.name] = true
			for id, runs := range h.guests {
				if runs {
					g.Running[id] = append(g.Running[id], h.name)
				}
			}
		}
	}
	for id, hosts := range g.Running {
		if slices.Sort(hosts); len(hosts) > 1 {
			g.Twins = append(g.Twins, detector.Twin{Server: id, Hosts: hosts, Since: now})
		}
	}
	return g
}

// accept writes the row of an accepted evacuation, ours or somebody else's.
func (w *fakeWorld) accept(s *nova.Server, from nova.HostName, now time.Time, to nova.Target) {
	s.TaskState = nova.TaskRebuilding
	w.rows = append(w.rows, &fakeRow{Migration: nova.Migration{ID: len(w.rows) + 1, Server: s.ID, Type: "evacuation",
		Status: nova.MigrationAccepted, Source: from, Dest: to.Host, CreatedAt: now}, fate: next(w.rowFate, s.ID), moves: now.Add(time.Second), to: to})
	if w.model != nil {
		w.model.take(w, w.rows[len(w.rows)-1], now)
	}
}

func (w *fakeWorld) delete(id nova.ServerID) {
	w.servers = slices.DeleteFunc(w.servers, func(s *nova.Server) bool { return s.ID == id })
	for _, h := range w.hosts {
		delete(h.guests, id)
	}
}
