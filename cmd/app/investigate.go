package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Prober asks a host's addresses for a sign of life.
type Prober interface {
	Probe(ctx context.Context, host nova.HostName, addrs []heartbeat.Address, ports []uint16) []detector.Probe
	// Touch asks gently, for a host that need not be disturbed.
	Touch(ctx context.Context, host nova.HostName, addrs []heartbeat.Address, ports []uint16) []detector.Probe
}

const (
	// investigateEvery is the pause between two rounds about one suspect.
	investigateEvery = 1500 * time.Millisecond
	// confirmEvery is that about a host that lives: its evidence must stay
	// fresh, and nothing hurries.
	confirmEvery = 4 * time.Second
	// baselineEvery is how often a host is probed while it is well, so that
	// its later silence is evidence.
	baselineEvery = 60 * time.Second
	// witnessEvery is how often a ring peer is asked to do the same: controllers
	// may have no way into the storage and tenant networks.
	witnessEvery = 10 * time.Minute
	// preflightEvery and preflightRetry space the readings of each BMC.
	preflightEvery = 10 * time.Minute
	preflightRetry = 30 * time.Second
	// preflightPart is the pause where some method of several did not answer.
	preflightPart = time.Minute
	// askPeers is how many ring peers probe a suspect.
	askPeers = 3
)

// investigator finds out about suspects, and what is normal about the others.
type investigator struct {
	c *Controller

	mu       sync.Mutex
	next     map[nova.HostName]time.Time // of rounds about hosts that nobody hears
	confirm  map[nova.HostName]time.Time // of the others
	power    map[nova.HostName]bool      // a BMC is being read
	read     map[nova.HostName]time.Time // when it last was begun
	baseline map[nova.HostName]time.Time
	witness  map[nova.HostName]time.Time
	flight   map[nova.HostName]time.Time
	slots    chan struct{}
	flights  chan struct{}
	looks    *lookout
}

func newInvestigator(c *Controller) *investigator {
	return &investigator{c: c, next: map[nova.HostName]time.Time{}, confirm: map[nova.HostName]time.Time{}, power: map[nova.HostName]bool{}, read: map[nova.HostName]time.Time{}, baseline: map[nova.HostName]time.Time{},
		witness: map[nova.HostName]time.Time{}, flight: map[nova.HostName]time.Time{}, slots: make(chan struct{}, bmcReads),
		flights: make(chan struct{}, preflightAtOnce), looks: newLookout()}
}

// suspects starts a round about every host whose verdict wants more evidence.
// Leader only.
func (v *investigator) suspects(ctx context.Context) {
	if !v.c.leads() {
		return
	}
	now := v.c.clock.Now()
	cloud, _ := v.c.observer.sky()
	alone := cloud.Condition == detector.Storm && v.c.mayFall(v.c.observer.last())
	onWord := v.c.onWord()
	var powers []nova.HostName
	for host, verdict := range v.c.observer.last() {
		probe, power := verdict.Wanted()
		if onWord[host] {
			probe, power = true, true
		}
		// BMCs are not flooded with readings when the fault is ours or the
		// network's.
		if probe && power && (alone || cloud.ReadsPower(verdict.View.Domain)) && !v.c.observer.justRead(host, now) {
			powers = append(powers, host)
		}
		if probe && v.paced(host, power, now) {
			v.c.stop.wg.Go(func() { v.probe(ctx, host, verdict) })
		}
	}
	for _, host := range v.turn(powers, now) {
		if !v.c.untouched(host) && !v.readPower(ctx, host, now) {
			return
		}
	}
}

// paced says whether a round about a host is due. A host that dies is for a moment
// heard by a minority still, which is asked about at leisure: that must not put off
// the first round about a host that nobody hears.
func (v *investigator) paced(host nova.HostName, power bool, now time.Time) bool {
	if !power {
		return v.due(v.confirm, host, now, confirmEvery)
	}
	return v.due(v.next, host, now, investigateEvery)
}

func (v *investigator) due(m map[nova.HostName]time.Time, host nova.HostName, now time.Time, every time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now.Before(m[host]) {
		return false
	}
	m[host] = now.Add(every)
	return true
}

// untouched says that the host's mode is off: not even its BMC is read (rule 12).
func (c *Controller) untouched(host nova.HostName) (yes bool) {
	w := c.reach()
	c.machine.Locked(func(s *evacuate.State) {
		yes = s.EffectiveMode(host, w.Membership(host), c.policy.AggregateModes).Mode == evacuate.ModeOff
	})
	return yes
}

// probe asks the host from here, from the other controllers, and from ring
// peers of other failure domains.
func (v *investigator) probe(ctx context.Context, host nova.HostName, verdict detector.Verdict) {
	addrs, ok := v.c.addresses[host]
	if !ok {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { v.c.observer.probes(v.c.probeSelf(ctx, host)) })
	for _, p := range v.c.ledger.Voters() {
		if p.ID != v.c.id {
			wg.Go(func() { v.askController(ctx, p.ID, p.Address, host) })
		}
	}
	order := heartbeat.Order{Host: host, Addresses: addrs, Ports: v.c.ports}
	for _, peer := range v.peers(host, verdict.View.Domain) {
		if err := v.c.receiver.Order(ctx, peer, order); err != nil {
			v.c.log.Debug("probe order not sent", "host", host, "peer", peer, "reason", err)
		}
	}
}

// peers chooses healthy hosts: each of another failure domain than the ones
// before, the host's own domain last.
func (v *investigator) peers(host nova.HostName, domain detector.Domain) []nova.HostName {
	byDomain := map[detector.Domain][]nova.HostName{}
	for h, verdict := range v.c.observer.last() {
		if h != host && verdict.State == detector.Healthy && verdict.Reason == detector.ReasonHeartbeat {
			byDomain[verdict.View.Domain] = append(byDomain[verdict.View.Domain], h)
		}
	}
	var others []detector.Domain
	for d, hosts := range byDomain {
		rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
		if d != domain {
			others = append(others, d)
		}
	}
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	var chosen []nova.HostName
	for round := 0; len(chosen) < askPeers; round++ {
		before := len(chosen)
		for _, d := range append(others, domain) {
			if hosts := byDomain[d]; round < len(hosts) && len(chosen) < askPeers {
				chosen = append(chosen, hosts[round])
			}
		}
		if len(chosen) == before {
			break
		}
	}
	return chosen
}

func (v *investigator) askController(ctx context.Context, id, address string, host nova.HostName) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	body, _ := json.Marshal(probeQuestion{Host: host})
	var answer []detector.AgedProbe
	asked := v.c.clock.Now()
	if err := postJSON(ctx, v.c.channel.Client(id, address), "https://"+address+pathProbe, body, &answer); err != nil {
		v.c.log.Debug("controller did not probe", "controller", id, "host", host, "reason", err)
		return
	}
	now := v.c.clock.Now()
	for _, p := range answer {
		p.Probe.Began = p.Answer.Began(asked, now.Add(-p.Age))
		v.c.observer.probes([]detector.Probe{p.Probe})
	}
}

type probeQuestion struct {
	Host nova.HostName `json:"host"`
}

// baselines probes a few hosts a second while they are well.
func (v *investigator) baselines(ctx context.Context) {
	now := v.c.clock.Now()
	started := 0
	for host := range v.c.addresses {
		if started >= 20 {
			return
		}
		if v.due(v.baseline, host, now, baselineEvery-time.Duration(rand.Int64N(int64(baselineEvery/6)))) {
			started++
			v.c.stop.wg.Go(func() { v.c.observer.probes(v.c.probeSelf(ctx, host)) })
		}
	}
}

// witnesses has a peer probe a few hosts a second while they are well. Every
// controller does so: the leader of tomorrow needs to know what was normal.
func (v *investigator) witnesses(ctx context.Context) {
	now := v.c.clock.Now()
	asked := 0
	for host, verdict := range v.c.observer.last() {
		if asked >= 5 {
			return
		}
		if verdict.State != detector.Healthy || len(v.c.addresses[host]) == 0 {
			continue
		}
		peers := v.peers(host, verdict.View.Domain)
		if len(peers) == 0 || !v.due(v.witness, host, now, witnessEvery-time.Duration(rand.Int64N(int64(witnessEvery/6)))) {
			continue
		}
		asked++
		order := heartbeat.Order{Host: host, Addresses: v.c.addresses[host], Ports: v.c.ports}
		if err := v.c.receiver.Order(ctx, peers[0], order); err != nil {
			v.c.log.Debug("probe order not sent", "host", host, "peer", peers[0], "reason", err)
		}
	}
}

func postJSON(ctx context.Context, cl *http.Client, url string, body []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return doJSON(cl, req, answer)
}

func doJSON(cl *http.Client, req *http.Request, answer any) error {
	resp, err := cl.Do(req)
	if err != nil {
		return err
	}
	defer func() {
		// What is left unread costs the connection: a handshake for each report.
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
		_ = resp.Body.Close()
	}()
	if resp.StatusCode != http.StatusOK {
		var p struct {
			Detail string `json:"detail"`
		}
		_ = json.NewDecoder(resp.Body).Decode(&p)
		return fmt.Errorf("%s: %s %s", req.URL.Path, resp.Status, p.Detail)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// keeper commits what the leader has seen and the ledger should remember.
func (c *Controller) keep(ctx context.Context) {
	if !c.leads() {
		return
	}
	for _, e := range c.toRemember() {
		if err := c.apply(ctx, e); err != nil {
			c.log.Warn("not remembered", "kind", e.Kind, "host", e.Host, "reason", err)
			return
		}
	}
}

// rememberOn is how old the ledger's last sight of power may get.
const rememberOn = time.Hour

func (c *Controller) toRemember() []evacuate.Entry {
	infos := c.observer.controllerInfos()
	infos[c.id] = c.info()
	sights := c.powers.sights()
	_, servers := c.cloud.seen()
	rings := c.ringAddresses()
	now := c.clock.Now()
	var out []evacuate.Entry
	var seen []evacuate.HostSeen
	c.machine.Locked(func(s *evacuate.State) {
		if s.ClusterID == "" {
			out = append(out, evacuate.Entry{Kind: evacuate.KindClusterInit, Cluster: &evacuate.ClusterInit{ID: c.ledger.ClusterID(), Name: c.cfg.Cluster, Mode: evacuate.Mode(c.cfg.Policy.Mode)}})
		}
		for id, info := range infos {
			if old := s.Controllers[id]; old == nil || old.Address != info.Address || old.Ring != info.Ring || old.Machine != info.Machine || !bytes.Equal(old.PublicKey, info.PublicKey) {
				out = append(out, evacuate.Entry{Kind: evacuate.KindControllerJoin, Controller: &info})
			}
		}
		for _, h := range c.cfg.Hosts {
			name := nova.HostName(h.Name)
			x, changed := remember(s.Hosts[name], name, sights, servers, now)
			changed = c.observer.learn(s.Hosts[name], &x) || changed
			changed = checked(s.Hosts[name], sights[name].Links, &x, now) || changed
			if at, answers, due := c.observer.memory(s.Hosts[name], now); due {
				x.Heard, x.Answers, changed = at, answers, true
			}
			if at := rings[name]; at != "" && s.Hosts[name] != nil && s.Hosts[name].Ring != at {
				x.Ring, changed = at, true
			}
			if old := s.Hosts[name]; old != nil && c.rememberWatchdog(s, old, &x, now) {
				changed = true
			}
			if changed {
				seen = append(seen, x)
			}
		}
	})
	if len(seen) > 0 {
		out = append(out, evacuate.Entry{Kind: evacuate.KindHostSeen, Seen: seen})
	}
	for i := range out {
		out[i].At, out[i].By = now, c.id
	}
	return out
}

func remember(h *evacuate.Host, name nova.HostName, sights map[nova.HostName]evacuate.Fencing, servers map[nova.HostName][]nova.Server, now time.Time) (evacuate.HostSeen, bool) {
	x := evacuate.HostSeen{Host: name}
	if h == nil {
		return x, true
	}
	changed := false
	wrong := h.PoweredOn.After(now.Add(evacuate.ClockSlack)) // dated by a clock that ran ahead
	stale := func(on time.Time) bool { return on.Sub(h.PoweredOn) > rememberOn || !h.PoweredOn.After(h.ReadOff) }
	if on := sights[name].PoweredOn; !on.IsZero() && (wrong || on.After(h.PoweredOn) && stale(on)) && now.Sub(on).Abs() < rememberOn {
		x.PoweredOn, changed = on, true
	}
	// One reading of the contradiction in an hour is enough, unless it was good meanwhile.
	if off := sights[name].ReadOff; off.After(h.ReadOff) && (h.PoweredOn.After(h.ReadOff) || off.Sub(h.ReadOff) > rememberOn) {
		x.ReadOff, changed = off, true
	}
	if list, ok := servers[name]; ok {
		if ids := serverIDs(list); !equalIDs(ids, h.Instances) {
			x.Instances, x.Listed, changed = ids, true, true
		}
	}
	return x, changed
}
