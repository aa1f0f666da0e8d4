package app

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
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
	// mostGuests is beyond what a host can run.
	mostGuests = 5000
)

// guestReport is what an agent tells each controller of its instances. The heartbeats
// carry the list's word, so that it need not be told again while it is the same.
type guestReport struct {
	Boot string          `json:"boot"`
	List detector.Guests `json:"list"`
}

// teller tells all controllers what runs on its host.
type teller struct {
	a     *Agent
	watch Guests
	wake  chan struct{}
	told  map[string]tellerTold // by controller; of run alone
}

type tellerTold struct {
	word string
	at   time.Time
}

func newTeller(a *Agent) *teller {
	if a.cfg.Sensors.Libvirt == config.LibvirtOff {
		return nil
	}
	t := &teller{a: a, wake: make(chan struct{}, 1), told: map[string]tellerTold{}}
	heard := func(guest.Event) {}
	if a.seams.Guests != nil {
		t.watch = a.seams.Guests(t.poke, heard)
		return t
	}
	sockets := guest.Sockets
	if a.cfg.Sensors.Libvirt != config.LibvirtAuto {
		sockets = []string{a.cfg.Sensors.Libvirt}
	}
	t.watch = guest.New(guest.Options{Sockets: sockets, URI: a.cfg.Sensors.LibvirtURI, Sleep: a.clock.Sleep, Now: a.clock.Now, Log: a.log, Changed: t.poke, Heard: heard})
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
	var due []string
	for _, c := range t.a.controllers() {
		addr := c.Address.String()
		if old := t.told[addr]; old.word != word || now.Sub(old.at) >= guestsAgain {
			due = append(due, addr)
		}
	}
	if len(due) == 0 {
		return
	}
	body, err := json.Marshal(guestReport{Boot: t.a.boot, List: list})
	if err != nil {
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
	for _, addr := range due {
		all.Go(func() {
			if err := postJSON(ctx, cl, "https://"+addr+pathGuests, body, nil); err != nil {
				t.a.log.Debug("a controller was not told which instances run here", "controller", addr, "reason", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			t.told[addr] = tellerTold{word, now}
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
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&q); err != nil || len(q.List.Running)+len(q.List.Paused) > mostGuests ||
		slices.ContainsFunc(slices.Concat(q.List.Running, q.List.Paused), func(id nova.ServerID) bool { return id == "" || len(id) > 64 }) {
		refuse(w, http.StatusBadRequest, "the list of instances is not understood")
		return
	}
	c.observer.with(func(t *detector.Table) { t.Guests(nova.HostName(host), q.Boot, q.List, c.clock.Now()) })
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

// twinAlerts are the instances that run twice.
func twinAlerts(s *evacuate.State) []api.Alert {
	var out []api.Alert
	if s.Guests != nil {
		for _, t := range s.Guests.Twins {
			out = append(out, api.Alert{Name: api.AlertTwin, Host: t.Hosts[0], Text: t.Text()})
		}
	}
	return out
}
