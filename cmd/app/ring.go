package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/gossip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	pathRingKey = "/v1/peer/ring-key"
	// ringPhaseMin is how long each phase lasts at least, and how long a leader
	// leads before it goes on with one: every agent has asked twice by then.
	ringPhaseMin = 2 * rosterEvery
	// ringFresh is how old an acknowledgement may be.
	ringFresh = 10 * time.Second
)

// ringMessage carries a key between controllers.
type ringMessage struct {
	Key         []byte `json:"key,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

// takeRingKey stores a key that the leader made, before the ledger names it.
func (c *Controller) takeRingKey(w http.ResponseWriter, r *http.Request) {
	var m ringMessage
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		refuse(w, http.StatusBadRequest, "ring key not understood")
		return
	}
	if err := c.ringStore.put(m.Key, c.ringPlan().Hold); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	reply(w, ringMessage{Fingerprint: ringPrint(m.Key)})
}

// giveRingKey gives a key to a controller that was away when it was made.
func (c *Controller) giveRingKey(w http.ResponseWriter, r *http.Request) {
	print := r.URL.Query().Get("fingerprint")
	key, ok := c.ringStore.key(evacuate.RingKeyName{Fingerprint: print})
	if !ok || print == "" {
		refuse(w, http.StatusNotFound, "no ring key of this fingerprint")
		return
	}
	reply(w, ringMessage{Key: key})
}

func (c *Controller) ringPlan() (p evacuate.RingKeys) {
	c.machine.Locked(func(s *evacuate.State) { p = s.RingKeys() })
	return p
}

// ringGrant is what this controller may tell of keys; false while it lacks one that
// its ledger names.
func (c *Controller) ringGrant() (g ringGrant, ok bool) {
	var plan evacuate.RingKeys
	c.machine.Locked(func(s *evacuate.State) {
		plan = s.RingKeys()
		g.Generation, g.Serial = s.Generation, s.RingSerial
	})
	g.Use = plan.Use.Epoch
	for _, name := range plan.Hold {
		key, ok := c.ringStore.key(name)
		if !ok {
			return ringGrant{}, false
		}
		g.Keys = append(g.Keys, ringKey{Epoch: name.Epoch, Key: key})
	}
	return g, true
}

// firstRingKey is the key to join with after a start.
func (c *Controller) firstRingKey() []byte {
	if key, ok := c.ringStore.key(c.ringPlan().Use); ok {
		return key
	}
	return c.ringStore.first
}

// turnKeys keeps this controller's keys as the ledger says, and leads a rotation
// on if this controller leads.
func (c *Controller) turnKeys(ctx context.Context) {
	for _, name := range c.ringPlan().Hold {
		if _, ok := c.ringStore.key(name); !ok {
			c.fetchRingKey(ctx, name)
		}
	}
	if g, ok := c.ringGrant(); ok {
		if _, changed, err := c.keyRing.take(g); err != nil {
			c.log.Warn("ring key not taken over", "key", g.Use, "reason", err)
		} else if changed {
			c.log.Info("the ring is encrypted with another key", "key", g.Use)
		}
	}
	if c.leads() {
		c.leadRotation(ctx)
	}
}

func (c *Controller) fetchRingKey(ctx context.Context, name evacuate.RingKeyName) {
	for _, p := range c.ledger.Voters() {
		if p.ID == c.id {
			continue
		}
		m, err := c.askRingKey(ctx, p.ID, p.Address, name)
		if err == nil && ringPrint(m.Key) != name.Fingerprint {
			err = errors.New("it sent another key")
		}
		if err == nil {
			err = c.ringStore.put(m.Key, c.ringPlan().Hold)
		}
		if err == nil {
			c.log.Info("ring key fetched", "key", name.Epoch, "from", p.ID)
			return
		}
		c.log.Warn("ring key not fetched", "key", name.Epoch, "from", p.ID, "reason", err)
	}
}

func (c *Controller) askRingKey(ctx context.Context, id, address string, name evacuate.RingKeyName) (m ringMessage, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+pathRingKey+"?fingerprint="+url.QueryEscape(name.Fingerprint), http.NoBody)
	if err != nil {
		return m, err
	}
	return m, doJSON(c.channel.Client(id, address), req, &m)
}

// rotate begins a rotation: the new key is with every controller before the ledger
// names it, so that no change of leaders loses it.
func (c *Controller) rotate(ctx context.Context, e evacuate.Entry) (string, error) {
	s := c.State()
	if s.Rotation != nil {
		return "", fmt.Errorf("%w: a rotation is in phase %s: see `lifeboat ring status`", api.ErrRefused, s.Rotation.Phase)
	}
	key := newRingKey()
	if err := c.ringStore.put(key, s.RingKeys().Hold); err != nil {
		return "", err
	}
	body, err := json.Marshal(ringMessage{Key: key})
	if err != nil {
		return "", err
	}
	for _, p := range c.ledger.Voters() {
		if p.ID == c.id {
			continue
		}
		pctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		var m ringMessage
		err := postJSON(pctx, c.channel.Client(p.ID, p.Address), "https://"+p.Address+pathRingKey, body, &m)
		cancel()
		if err == nil && m.Fingerprint != ringPrint(key) {
			err = errors.New("it has stored another key")
		}
		if err != nil {
			return "", fmt.Errorf("%w: every controller must have the new key first, and %s has not taken it: %w", api.ErrRefused, p.ID, err)
		}
	}
	name := evacuate.RingKeyName{Epoch: s.RingEpoch + 1, Fingerprint: ringPrint(key)}
	e.Kind, e.Ring = evacuate.KindRing, &evacuate.RingStep{Phase: evacuate.RingDistribute, Key: name}
	if err := c.apply(ctx, e); err != nil {
		return "", err
	}
	return fmt.Sprintf("rotation to ring key %d (%s) has begun: `lifeboat ring status` says how far it is", name.Epoch, name.Fingerprint), nil
}

// ringStep goes on to the next phase without waiting for anybody, or gives the
// rotation up while nobody encrypts with the new key.
func (c *Controller) ringStep(ctx context.Context, e evacuate.Entry, abandon bool) (string, error) {
	r := c.State().Rotation
	if r == nil {
		return "", fmt.Errorf("%w: no rotation of the ring's key is under way", api.ErrRefused)
	}
	next := r.Phase.Next()
	if abandon {
		next = evacuate.RingAbandoned
	}
	if g, ok := c.ringGrant(); !ok || !slices.ContainsFunc(g.Keys, func(k ringKey) bool { return k.Epoch == r.New.Epoch }) {
		return "", fmt.Errorf("%w: this controller has not got key %d itself yet", api.ErrRefused, r.New.Epoch)
	}
	e.Kind, e.Ring = evacuate.KindRing, &evacuate.RingStep{Phase: next, Key: r.New}
	return fmt.Sprintf("ring key %d: %s", r.New.Epoch, next), c.apply(ctx, e)
}

// leadRotation goes on to the next phase once everybody who can be asked has come
// to the present one.
func (c *Controller) leadRotation(ctx context.Context) {
	st := c.RingStatus()
	if st.Rotation == nil || len(st.Waiting) > 0 {
		return
	}
	next := st.Rotation.Phase.Next()
	err := c.apply(ctx, evacuate.Entry{Kind: evacuate.KindRing, At: c.clock.Now(), By: c.id, Text: "everybody has come to it",
		Ring: &evacuate.RingStep{Phase: next, Key: st.Rotation.New}})
	if err != nil {
		c.log.Warn("rotation not led on", "phase", next, "reason", err)
		return
	}
	c.log.Info("rotation of the ring's key", "key", st.Rotation.New.Epoch, "phase", next)
}

// RingStatus tells of the ring's key and what a rotation waits for.
func (c *Controller) RingStatus() api.RingStatus {
	s := c.State()
	st := api.RingStatus{Epoch: s.RingEpoch, Fingerprint: s.RingPrint, Rotation: s.Rotation}
	if s.Rotation == nil {
		return st
	}
	now := c.clock.Now()
	c.mu.Lock()
	since, ring := c.since, c.ring
	c.mu.Unlock()
	if left := ringPhaseMin - now.Sub(latest(since, s.Rotation.Since)); left > 0 {
		st.Waiting = append(st.Waiting, fmt.Sprintf("every phase lasts %s, for %s more", ringPhaseMin, left.Round(time.Second)))
	}
	if cloud, _ := c.observer.sky(); cloud.Condition != detector.Normal {
		st.Waiting = append(st.Waiting, fmt.Sprintf("the cloud is in %s: %s", cloud.Condition, cloud.Reason))
	}
	for _, p := range c.ledger.Voters() {
		if held, ok := c.controllerHolds(p.ID, now); !ok {
			st.Waiting = append(st.Waiting, "controller "+p.ID+" does not tell which keys it has")
		} else if !held.cameTo(s.Rotation) {
			st.Waiting = append(st.Waiting, fmt.Sprintf("controller %s has %s", p.ID, held))
		}
	}
	st.Waiting = append(st.Waiting, c.hostsWaiting(s, ring, now)...)
	return st
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (c *Controller) controllerHolds(id string, now time.Time) (keysHeld, bool) {
	if id == c.id {
		c.mu.Lock()
		keys := c.keyRing
		c.mu.Unlock()
		if keys == nil {
			return keysHeld{}, false // not in the ring yet
		}
		return keys.held()
	}
	return c.observer.keysOf(id, now)
}

// hostsWaiting names the hosts that must still come to the phase. Who is neither
// heard nor alive in the ring is not waited for: it takes the keys when it is back.
// One that the ring alone holds alive is waited for, lest it lose that too.
func (c *Controller) hostsWaiting(s *evacuate.State, ring *gossip.Member, now time.Time) (waiting []string) {
	alive := map[nova.HostName]bool{}
	if ring != nil {
		for _, m := range ring.Members() {
			alive[nova.HostName(m.Name)] = m.State == gossip.Alive
		}
	}
	verdicts := c.observer.last()
	for _, name := range s.HostNames() {
		if s.Hosts[name].Enrolled.IsZero() {
			continue
		}
		var at time.Time
		c.observer.with(func(t *detector.Table) { at, _, _ = t.LastHeard(name) })
		heard := now.Sub(at) <= ringFresh
		if !heard && !alive[name] {
			continue
		}
		held, ok := parseKeysHeld(verdicts[name].View.Sensors[sensorRingKey])
		switch {
		case !heard:
			waiting = append(waiting, string(name)+" is alive in the ring and not heard")
		case !ok:
			waiting = append(waiting, string(name)+" does not tell which keys it has")
		case !held.cameTo(s.Rotation):
			waiting = append(waiting, fmt.Sprintf("%s has %s", name, held))
		}
	}
	return waiting
}
