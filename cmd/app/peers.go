package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/peer"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Paths of the channel between controllers.
const (
	pathReport = "/v1/peer/report"
	pathProbe  = "/v1/peer/probe"
	pathApply  = "/v1/peer/apply"
	pathAPI    = "/v1/peer/api"
	// pathFence is where the leader sends errands, and asks who reaches what.
	pathFence = "/v1/peer/fence"
)

// peerHandler serves controllers and agents on the channel.
func (c *Controller) peerHandler() http.Handler {
	mux := http.NewServeMux()
	only := peer.OnlyControllers
	mux.Handle(ledger.HelloPath, only(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.ledger.HelloHandler().ServeHTTP(w, r) })))
	mux.Handle("POST "+pathReport, only(http.HandlerFunc(c.takeReport)))
	mux.Handle("POST "+pathRingKey, only(http.HandlerFunc(c.takeRingKey)))
	mux.Handle("GET "+pathRingKey, only(http.HandlerFunc(c.giveRingKey)))
	mux.Handle("POST "+pathProbe, only(http.HandlerFunc(c.answerProbe)))
	mux.Handle("POST "+pathFence, only(http.HandlerFunc(c.takeErrand)))
	mux.Handle("POST "+pathApply, only(http.HandlerFunc(c.takeEntry)))
	mux.Handle(pathAPI+"/", only(http.StripPrefix(pathAPI, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.api.ServeHTTP(w, r) }))))
	c.agentRoutes(mux)
	return mux
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "detail": detail})
}

// takeReport merges what a follower saw; the sender can only speak for itself.
func (c *Controller) takeReport(w http.ResponseWriter, r *http.Request) {
	var rep peerReport
	if err := json.NewDecoder(r.Body).Decode(&rep); err != nil {
		refuse(w, http.StatusBadRequest, "report not understood")
		return
	}
	_, id, _ := peer.Identity(r)
	if string(rep.Controller) != id || rep.Info.ID != id {
		refuse(w, http.StatusForbidden, "a controller reports for itself only")
		return
	}
	answer := reportAnswer{Stamp: c.transits.give()}
	took, known := c.transits.took(rep.Stamp)
	if answer.Taken = known && took <= reportMost; answer.Taken {
		// The oldest that it can be: what was heard long ago is not made new by the way.
		at := c.clock.Now().Add(-took)
		rep.Probes = slices.DeleteFunc(rep.Probes, func(p detector.AgedProbe) bool { return string(p.Observer) != id })
		c.observer.merge(rep, at)
		c.skews.tell(id, rep.Wall)
		c.dumps.merge(rep.Controller, rep.Dumps, at)
		c.vips.merge(rep.Controller, rep.VIP, at)
	} else if known {
		c.log.Warn("a report was too long under way and is not believed", "from", id, "took", took)
	}
	answer.Fit, answer.Mend = c.vips.fitness(), c.vips.mends.take(id)
	reply(w, answer)
}

// reportAnswer says whether a report was believed: the first to a new leader never is.
type reportAnswer struct {
	Taken bool   `json:"taken"`
	Stamp *stamp `json:"stamp,omitempty"`
	// Fit is how fit each controller is to have each address, where Lifeboat moves it.
	Fit fitness `json:"fit,omitempty"`
	// Mend is what this controller is to do about addresses that another moves.
	Mend []mendOrder `json:"mend,omitempty"`
}

// report tells the leader what this controller sees, once more if the leader could
// not know how long the first was under way.
func (c *Controller) report(ctx context.Context) {
	if again := c.reportOnce(ctx); again {
		c.reportOnce(ctx)
	}
}

func (c *Controller) reportOnce(ctx context.Context) (again bool) {
	ring := c.ringView()
	now := c.clock.Now()
	var rep detector.Report
	c.observer.with(func(t *detector.Table) {
		t.Alive(c.observer.id, ring, now)
		rep = t.Report(c.observer.id, ring, now)
	})
	id, address, self := c.ledger.Leader()
	if self || id == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, reportMost)
	defer cancel()
	full := peerReport{Report: rep, Term: c.ledger.Term(), Info: c.info(), Wall: now, Dumps: c.dumps.ages(now), VIP: c.vips.sight(), Stamp: c.transits.back(id)}
	if held, ok := c.keyRing.held(); ok {
		full.Keys = &held
	}
	c.machine.Locked(func(s *evacuate.State) { full.Machines = c.observer.news(s) })
	body, err := json.Marshal(full)
	if err != nil {
		return false
	}
	var answer reportAnswer
	if err := postJSON(ctx, c.channel.Client(id, address), "https://"+address+pathReport, body, &answer); err != nil {
		c.log.Debug("report not delivered", "leader", id, "reason", err)
		return false
	}
	c.transits.keep(id, answer.Stamp)
	c.vips.learn(answer.Fit)
	c.vips.mends.do(answer.Mend)
	return !answer.Taken && answer.Stamp != nil
}

// answerProbe probes a suspect for the leader.
func (c *Controller) answerProbe(w http.ResponseWriter, r *http.Request) {
	var q probeQuestion
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		refuse(w, http.StatusBadRequest, "question not understood")
		return
	}
	out := []detector.AgedProbe{}
	for _, p := range c.probeSelf(r.Context(), q.Host) {
		out = append(out, detector.AgedProbe{Probe: p, Age: c.clock.Now().Sub(p.Began)})
	}
	reply(w, out)
}

// probeSelf probes a host from this controller.
func (c *Controller) probeSelf(ctx context.Context, host nova.HostName) []detector.Probe {
	addrs, ok := c.addresses[host]
	if !ok {
		return nil
	}
	ps := c.prober.Probe(ctx, host, addrs, c.ports)
	for i := range ps {
		ps[i].Observer, ps[i].Host = c.observer.id, host
	}
	return ps
}

// forwarded lists the entries that a follower may hand to the leader.
var forwarded = []evacuate.Kind{evacuate.KindHostEnrol, evacuate.KindHostRenew, evacuate.KindVIPLease}

func (c *Controller) takeEntry(w http.ResponseWriter, r *http.Request) {
	var e evacuate.Entry
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil || !slices.Contains(forwarded, e.Kind) {
		refuse(w, http.StatusBadRequest, "entry not understood or not forwarded")
		return
	}
	if _, id, _ := peer.Identity(r); e.Kind == evacuate.KindVIPLease && !mayForward(id, e.Lease) {
		refuse(w, http.StatusForbidden, "a controller asks for leases of its own only")
		return
	}
	e.At = c.clock.Now()
	if err := c.apply(r.Context(), e); err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	reply(w, struct{}{})
}

// apply commits an entry on this controller, which must lead.
func (c *Controller) apply(ctx context.Context, e evacuate.Entry) error {
	b, err := e.Encode()
	if err != nil {
		return err
	}
	res, err := c.ledger.Apply(ctx, b)
	if err != nil {
		return err
	}
	if err, ok := res.(error); ok && err != nil {
		return err
	}
	return nil
}

// applyAnywhere commits an entry through whoever leads.
func (c *Controller) applyAnywhere(ctx context.Context, e evacuate.Entry) error {
	err := c.apply(ctx, e)
	if !ledger.IsNotLeader(err) {
		return err
	}
	id, address, _ := c.ledger.Leader()
	if id == "" {
		return errors.New("no controller leads at the moment: try again in a few seconds")
	}
	body, merr := json.Marshal(e)
	if merr != nil {
		return merr
	}
	return postJSON(ctx, c.channel.Client(id, address), "https://"+address+pathApply, body, nil)
}

// forward hands an operator's request to the leader; false if there is none or
// it is this controller.
func (c *Controller) forward(w http.ResponseWriter, r *http.Request) bool {
	id, address, self := c.ledger.Leader()
	if self || id == "" {
		return false
	}
	target := &url.URL{Scheme: "https", Host: address, Path: pathAPI}
	p := &httputil.ReverseProxy{
		Rewrite:       func(pr *httputil.ProxyRequest) { pr.SetURL(target) },
		Transport:     c.channel.Client(id, address).Transport,
		FlushInterval: 100 * time.Millisecond,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			refuse(w, http.StatusBadGateway, "the leader "+id+" does not answer: "+err.Error())
		},
	}
	p.ServeHTTP(w, r)
	return true
}

func serverIDs(servers []nova.Server) []nova.ServerID {
	ids := make([]nova.ServerID, 0, len(servers))
	for _, s := range servers {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return ids
}

func equalIDs(a, b []nova.ServerID) bool { return slices.Equal(a, b) }
