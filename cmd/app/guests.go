package app

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/guest"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/peer"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Guests watches a host's libvirt.
type Guests interface {
	Run(ctx context.Context)
	Word() string
	List() (detector.Guests, bool)
}

const (
	// guestsAgain is how often a list is told anew that every controller has: one may
	// have been restarted. guestsTime bounds one call.
	guestsAgain = time.Minute
	guestsTime  = 3 * time.Second
	// guestsRetry is the pause after a call that failed: the controller may be off, or of
	// a version that knows of no instances.
	guestsRetry = 5 * time.Second
	// mostGuests is beyond what a host can run.
	mostGuests = 5000
)

// guestReport is what an agent tells each controller of its instances. The heartbeats
// carry the list's word, so that it need not be told again while it is the same.
type guestReport struct {
	Boot string          `json:"boot"`
	List detector.Guests `json:"list"`
	// Ends are those that this controller was not told of yet.
	Ends []guestEnd `json:"ends,omitempty"`
}

// teller tells all controllers what runs on its host.
type teller struct {
	a     *Agent
	watch Guests
	wake  chan struct{}
	told  map[string]tellerTold // by controller; of tell alone

	ends endsHeard
}

type tellerTold struct {
	word   string
	at     time.Time
	serial uint64 // of the last end that it has
	failed time.Time
}

func newTeller(a *Agent) *teller {
	if a.cfg.Sensors.Libvirt == config.LibvirtOff {
		return nil
	}
	t := &teller{a: a, wake: make(chan struct{}, 1), told: map[string]tellerTold{}}
	if a.seams.Guests != nil {
		t.watch = a.seams.Guests(t.poke, t.heard)
		return t
	}
	sockets := guest.Sockets
	if a.cfg.Sensors.Libvirt != config.LibvirtAuto {
		sockets = []string{a.cfg.Sensors.Libvirt}
	}
	t.watch = guest.New(guest.Options{Sockets: sockets, URI: a.cfg.Sensors.LibvirtURI, Sleep: a.clock.Sleep, Now: a.clock.Now, Log: a.log, Changed: t.poke, Heard: t.heard})
	return t
}

// begin watches and tells until the process stops.
func (t *teller) begin(s *stopper) {
	if t == nil {
		return
	}
	s.wg.Go(func() { t.watch.Run(s.ctx) })
	s.wg.Go(func() {
		for {
			t.tell(s.ctx)
			wctx, cancel := context.WithTimeout(s.ctx, time.Second)
			select {
			case <-t.wake:
			case <-wctx.Done():
			}
			cancel()
			if s.ctx.Err() != nil {
				return
			}
		}
	})
}

func (t *teller) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// tell tells those controllers that have not got what is true now, side by side: one
// that is dead must not keep the others waiting.
func (t *teller) tell(ctx context.Context) {
	list, known := t.watch.List()
	if !known {
		return // the heartbeats say so
	}
	word, now := list.Word(), t.a.clock.Now()
	due := map[string][]byte{}
	_, last := t.ends.since(0, now)
	for _, c := range t.a.controllers() {
		addr := c.Address.String()
		old := t.told[addr]
		ends, _ := t.ends.since(old.serial, now)
		if now.Sub(old.failed) < guestsRetry || old.word == word && now.Sub(old.at) < guestsAgain && len(ends) == 0 {
			continue
		}
		if body, err := json.Marshal(guestReport{Boot: t.a.boot, List: list, Ends: ends}); err == nil {
			due[addr] = body
		}
	}
	if len(due) == 0 {
		return
	}
	cl, err := t.a.client()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, guestsTime)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for addr, body := range due {
		all.Go(func() {
			err := postJSON(ctx, cl, "https://"+addr+pathGuests, body, nil)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.a.log.Debug("a controller was not told which instances run here", "controller", addr, "reason", err)
				old := t.told[addr]
				old.failed = now
				t.told[addr] = old
				return
			}
			t.told[addr] = tellerTold{word: word, at: now, serial: last}
		})
	}
	all.Wait()
}

// hearGuests takes a host's list, of itself alone.
func (c *Controller) hearGuests(w http.ResponseWriter, r *http.Request) {
	kind, host, _ := peer.Identity(r)
	if kind != peer.Host {
		refuse(w, http.StatusForbidden, "only enrolled hosts tell of their instances")
		return
	}
	var q guestReport
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&q); err != nil || len(q.List.Running)+len(q.List.Paused) > mostGuests || len(q.List.Agents) > mostGuests ||
		slices.ContainsFunc(slices.Concat(q.List.Running, q.List.Paused, q.List.Agents), func(id nova.ServerID) bool { return id == "" || len(id) > 64 }) {
		refuse(w, http.StatusBadRequest, "the list of instances is not understood")
		return
	}
	now := c.clock.Now()
	c.observer.with(func(t *detector.Table) { t.Guests(nova.HostName(host), q.Boot, q.List, now) })
	c.observer.ends.take(nova.HostName(host), q.Ends, now)
	reply(w, struct{}{})
}

func (o *observer) guests(now time.Time) *detector.GuestSight {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.table.GuestSight(now)
}

// where says where an instance runs and where it should.
func (c *Controller) where(id nova.ServerID) (api.Whereabouts, bool) {
	g := c.observer.guests(c.clock.Now())
	out := api.Whereabouts{Server: id}
	if g != nil {
		out.Running, out.Paused = g.Running[id], g.Paused[id]
	}
	_, servers := c.cloud.seen()
	for _, host := range slices.Sorted(maps.Keys(servers)) {
		for _, s := range servers[host] {
			if s.ID == id {
				out.Name, out.Nova, out.State = s.Name, append(out.Nova, host), s.VMState
			}
		}
	}
	s := c.State()
	for _, host := range s.HostNames() {
		if !g.Tells(host) {
			out.Untold = append(out.Untold, host)
		}
	}
	for _, r := range s.Sorted() {
		if e := r.Evacuation(id); e != nil {
			out.Name, out.Evacuation = e.Name, r.ID
		}
	}
	if s.Guests != nil {
		i := slices.IndexFunc(s.Guests.Twins, func(t evacuate.Twin) bool { return t.Server == id })
		if i >= 0 {
			out.Twice = s.Guests.Twins[i].Text()
		}
	}
	return out, len(out.Running)+len(out.Paused)+len(out.Nova) > 0 || out.Evacuation != ""
}

// guestAlerts are the instances that run twice, and those that were to run again and do
// not; and the services of hosts that have failed.
func guestAlerts(s *evacuate.State, verdicts map[nova.HostName]detector.Verdict, now time.Time) []api.Alert {
	var out []api.Alert
	for host, v := range verdicts {
		for unit, word := range v.FailedServices() {
			out = append(out, api.Alert{Name: api.AlertService, Host: host, Text: unit + ": " + word})
		}
		if word := v.View.Sensors[detector.SensorBoot]; strings.HasPrefix(word, detector.BootUnsafe) {
			out = append(out, api.Alert{Name: api.AlertBoot, Host: host, Text: word})
		}
	}
	if s.Guests != nil {
		for _, t := range s.Guests.Twins {
			out = append(out, api.Alert{Name: api.AlertTwin, Host: t.Hosts[0], Text: t.Text()})
		}
	}
	for _, x := range s.GuestRestarts {
		if x.State == evacuate.GuestFailedEnd && now.Sub(x.Ended) < restartTold {
			out = append(out, api.Alert{Name: api.AlertNotRestarted, Host: x.Host, Text: x.Text()})
		}
	}
	return out
}

// restartTold is for how long a restart that failed is an alert.
const restartTold = 24 * time.Hour
