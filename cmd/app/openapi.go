package app

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// openAPI serves operators.
func (c *Controller) openAPI() error {
	c.engine = c.newEngine()
	secret, err := config.ReadSecretFile(c.cfg.API.TokenFile)
	if err != nil {
		return fmt.Errorf("read the API's tokens: %w", err)
	}
	tokens, err := api.ParseTokens(secret.Reveal())
	if err != nil {
		return err
	}
	c.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := api.NewMetrics(c.registry, c, c.clock.Now, Version, c.dropped, func() map[nova.HostName]api.Fenceable { return c.fenceable() }); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if err := api.NewVIPMetrics(c.registry, c.leads, c.VIPStatus); err != nil {
		return fmt.Errorf("register the VIP's metrics: %w", err)
	}
	if c.notifier, err = c.newNotifier(); err != nil {
		return err
	}
	c.api, err = api.New(api.Options{Source: c, Commander: c, Forward: c.forward, Tokens: tokens, Plan: c.WhatIf, Ring: c.RingStatus, VIP: c.VIPStatus, FenceTest: c.FenceTest, Where: c.where, Drills: c.Drills, Registry: c.registry, Log: c.log, Now: c.clock.Now})
	if err != nil {
		return err
	}
	l, err := c.seams.listen(c.cfg.API.Listen)
	if err != nil {
		return fmt.Errorf("listen for the API: %w", err)
	}
	if c.cfg.API.Certificate != "" {
		cert, err := tls.LoadX509KeyPair(c.cfg.API.Certificate, c.cfg.API.Key)
		if err != nil {
			_ = l.Close()
			return fmt.Errorf("load the API's certificate: %w", err)
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	}
	srv := &http.Server{Handler: c.api, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() { _ = srv.Serve(l) }()
	c.stop.onStop("the API", srv.Close)
	return nil
}

// Status is this controller's standing.
func (c *Controller) Status() api.Status {
	h := c.ledger.Health()
	s := c.State()
	sight, _ := c.cloud.seen()
	st := api.Status{Cluster: c.cfg.Cluster, ClusterID: c.ledger.ClusterID(), Controller: c.id, Leader: h.Leader.ID, Leads: c.leads(), Term: h.Term,
		Writable: h.Writable, Mode: s.Mode, NovaAge: -1, NovaError: sight.Err, Hosts: len(s.Hosts), Version: Version}
	for _, v := range c.ledger.Voters() {
		st.Voters = append(st.Voters, v.ID)
	}
	if !sight.At.IsZero() {
		st.NovaAge = c.clock.Now().Sub(sight.At)
	}
	switch cloud, since := c.observer.sky(); {
	case st.Leads:
		st.Cloud, st.CloudFor = cloud, c.clock.Now().Sub(since)
	case st.Leader == "":
		st.Cloud = detector.Cloud{Condition: detector.LedgerReadOnly, Reason: detector.ReasonNoQuorum, Detail: "no controller leads"}
	}
	switch local := c.frozen(); {
	case local != "":
		st.Frozen = "by a local file: " + local
	case s.Frozen:
		st.Frozen = "by " + s.Halt()
	}
	if s.Drain != nil {
		st.Drained = "by " + s.Drain.String()
	}
	st.ModeSet, st.Spare = s.CloudMode().When(), c.spare()
	return st
}

// Explain says all about one host.
func (c *Controller) Explain(host nova.HostName) (evacuate.Explanation, bool) {
	s := c.State()
	if s.Hosts[host] == nil {
		return evacuate.Explanation{}, false
	}
	v := c.observer.last()[host]
	v.Host = host
	x := evacuate.Explain(s, c.engine.Decisions()[host], v, c.clock.Now())
	x.Fencing = evacuate.Standings(host, s.Hosts[host], c.powers.sights()[host], s.Register())
	x.Drilling = s.Hosts[host].Drilling
	x.Watchdog, x.WatchdogLack = s.WatchdogOf(host)
	return x, true
}

// failbackTold is how long an operator is told of a failback that was stopped.
const failbackTold = 24 * time.Hour

// Alerts lists what an operator should see to.
func (c *Controller) Alerts() []api.Alert {
	s := c.State()
	sight, _ := c.cloud.seen()
	verdicts := c.observer.last()
	var out []api.Alert
	for name := range sight.Services {
		h := s.Hosts[name]
		switch {
		case h == nil:
			out = append(out, api.Alert{Name: api.AlertAgentMissing, Host: name, Text: "its nova-compute is not in Lifeboat's inventory: it would not be recovered"})
		case h.Enrolled.IsZero():
			out = append(out, api.Alert{Name: api.AlertAgentMissing, Host: name, Text: "no agent is enrolled: run `lifeboat token create " + string(name) + "`"})
		case verdicts[name].Reason == detector.ReasonNeverHeard:
			out = append(out, api.Alert{Name: api.AlertAgentMissing, Host: name, Text: "its agent was never heard"})
		}
	}
	for name, h := range s.Hosts {
		if _, known := sight.Services[name]; !known && !sight.At.IsZero() && !h.Enrolled.IsZero() {
			out = append(out, api.Alert{Name: api.AlertAgentUnknown, Host: name, Text: "Nova knows no nova-compute of this name: are the names the same?"})
		}
	}
	for name, a := range c.fenceable() {
		if !a.Open {
			out = append(out, api.Alert{Name: api.AlertNotFenceable, Host: name, Text: a.Reason})
		}
		for _, f := range evacuate.Faults(a.Methods, c.clock.Now()) {
			out = append(out, api.Alert{Name: api.AlertFencing, Host: name, Text: f})
		}
		if f := a.Storage.Fault(); f != "" {
			out = append(out, api.Alert{Name: api.AlertStorageFence, Host: name, Text: a.Storage.Program + ": " + f})
		}
	}
	for _, r := range s.Sorted() {
		if r.Status != evacuate.StatusClosed && r.Hold != nil {
			out = append(out, api.Alert{Name: api.AlertHeld, Host: r.Host, Text: fmt.Sprintf("recovery %s is held: %s", r.ID, r.Hold.Reason)})
		}
	}
	for _, r := range s.Sorted() {
		if r.Failback.Stopped() && c.clock.Now().Sub(r.Failback.Ended) < failbackTold {
			out = append(out, api.Alert{Name: api.AlertFailback, Host: r.Host, Text: fmt.Sprintf("failback to it %s", r.Failback.Reason)})
		}
	}
	out = append(out, guestAlerts(s, verdicts, c.clock.Now())...)
	out = append(out, askedAlerts(s, c.clock.Now())...)
	out = append(out, restartAlerts(s, c.clock.Now())...)
	out = append(out, c.vipAlerts()...)
	slices.SortFunc(out, func(a, b api.Alert) int {
		if a.Name+string(a.Host) < b.Name+string(b.Host) {
			return -1
		}
		return 1
	})
	return out
}

// fenceable says of each host whether it could be fenced if it died now; of hosts alone
// where some are named.
func (c *Controller) fenceable(hosts ...nova.HostName) map[nova.HostName]api.Fenceable {
	s := c.State()
	reporting := c.observer.freshControllers()
	w := evacuate.World{Now: c.clock.Now(), Fencing: c.powers.sights(), Leader: evacuate.Leadership{ID: c.id},
		Network: evacuate.NetworkSight{Voters: max(c.ledger.Health().Voters, 1), Fresh: len(reporting), Reporting: reporting}}
	out := map[nova.HostName]api.Fenceable{}
	for name, f := range evacuate.Fenceable(s, w, c.policy, hosts...) {
		out[name] = api.Fenceable{Open: f.Pass, Standing: f.Standing, Reason: f.Reason, Methods: f.Methods, Storage: f.Storage}
	}
	return out
}

func (c *Controller) dropped() map[string]uint64 {
	c.mu.Lock()
	receiver := c.receiver
	c.mu.Unlock()
	if receiver == nil {
		return nil
	}
	s := receiver.Stats()
	return map[string]uint64{"malformed": s.Malformed, "other-cluster": s.OtherCluster, "unknown-peer": s.UnknownPeer,
		"bad-signature": s.BadSignature, "replayed": s.Replayed, "refused": s.Refused}
}
