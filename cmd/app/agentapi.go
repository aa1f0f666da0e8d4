package app

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"os"
	"time"

	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/peer"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Paths for agents on the peer channel.
const (
	pathEnrol  = "/v1/agent/enrol"
	pathRoster = "/v1/agent/roster"
	pathRenew  = "/v1/agent/renew"
	pathGuests = "/v1/agent/guests"
)

type enrolRequest struct {
	Host   nova.HostName `json:"host"`
	Token  string        `json:"token"`  // its id
	Secret string        `json:"secret"` // and what proves it
}

// enrolAnswer carries secrets; it travels over TLS and is never logged.
type enrolAnswer struct {
	ClusterID string `json:"cluster_id"`
	RingKey   []byte `json:"ring_key"`
	CA        []byte `json:"ca"`
	Roster    roster `json:"roster"`
}

type renewRequest struct {
	Public []byte `json:"public"`
	// Signature of Public by the new key proves that the host has it.
	Signature []byte `json:"signature"`
}

func (c *Controller) agentRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST "+pathEnrol, c.enrol)
	mux.HandleFunc("GET "+pathRoster, c.giveRoster)
	mux.HandleFunc("POST "+pathRenew, c.renew)
	mux.HandleFunc("GET "+pathGate, c.answerGate)
	mux.HandleFunc("POST "+pathGuests, c.hearGuests)
	mux.HandleFunc("GET "+pathRestart, c.answerRestart)
	mux.HandleFunc("POST "+pathRestart, c.noteRestart)
}

// enrol takes a host in: its token is used up in the same entry that notes its
// key.
func (c *Controller) enrol(w http.ResponseWriter, r *http.Request) {
	_, _, pub := peer.Identity(r)
	var q enrolRequest
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || len(pub) != ed25519.PublicKeySize {
		refuse(w, http.StatusBadRequest, "enrolment not understood, or no client certificate of the host's new key")
		return
	}
	now := c.clock.Now()
	// A controller that has just started may not be in the ledger yet, and an agent
	// that knows of none could never come back: its token stays good.
	if !c.soon(r.Context(), 10*time.Second, func() bool { return len(c.roster("").Controllers) > 0 }) {
		refuse(w, http.StatusServiceUnavailable, "no controller has joined the ledger yet: try again in a few seconds")
		return
	}
	// A follower may hear of the token a moment after the leader gave it out.
	if !c.soon(r.Context(), 2*time.Second, func() bool { return c.tokenGood(q, now) }) {
		refuse(w, http.StatusForbidden, "the token is unknown, used, expired or for another host: make a new one with `lifeboat token create "+string(q.Host)+"`")
		return
	}
	ca, err := os.ReadFile(c.cfg.TLS.CA)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the controller cannot read its CA")
		return
	}
	if _, ok := c.ringGrant(); !ok {
		refuse(w, http.StatusServiceUnavailable, "this controller has not got the ring's key yet: try again in a few seconds")
		return
	}
	err = c.applyAnywhere(r.Context(), evacuate.Entry{Kind: evacuate.KindHostEnrol, At: now, By: c.id, Host: q.Host, Word: q.Token,
		Key: &evacuate.HostKey{ID: identity.KeyID(pub), Public: pub, Added: now}})
	if err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	c.log.Info("host enrolled", "host", q.Host, "key", identity.KeyID(pub))
	reply(w, enrolAnswer{ClusterID: c.ledger.ClusterID(), RingKey: c.firstRingKey(), CA: ca, Roster: c.roster(q.Host)})
}

// soon waits for condition, at most within.
func (c *Controller) soon(ctx context.Context, within time.Duration, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for !condition() {
		if c.clock.Sleep(ctx, 100*time.Millisecond) != nil {
			return false
		}
	}
	return true
}

func (c *Controller) tokenGood(q enrolRequest, now time.Time) (good bool) {
	c.machine.Locked(func(s *evacuate.State) {
		t := s.Tokens[q.Token]
		good = t != nil && t.Host == q.Host && now.Before(t.Expires) && identity.MatchesHash(q.Secret, t.Hash)
	})
	return good
}

func (c *Controller) giveRoster(w http.ResponseWriter, r *http.Request) {
	kind, name, _ := peer.Identity(r)
	switch kind {
	case peer.Anonymous:
		refuse(w, http.StatusForbidden, "only enrolled hosts and controllers get the roster")
	case peer.Host:
		c.hearMachine(nova.HostName(name), r.Header.Get(machineHeader))
		roster := c.roster(nova.HostName(name))
		roster.Watches, roster.Leave = !c.acts(nova.HostName(name)), c.leaves(nova.HostName(name))
		reply(w, roster)
	default:
		reply(w, c.roster(""))
	}
}

// renew notes a host's new key; the old one stays good for a while.
func (c *Controller) renew(w http.ResponseWriter, r *http.Request) {
	kind, host, _ := peer.Identity(r)
	var q renewRequest
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || kind != peer.Host || len(q.Public) != ed25519.PublicKeySize ||
		!ed25519.Verify(q.Public, renewMessage(host, q.Public), q.Signature) {
		refuse(w, http.StatusForbidden, "renewal not understood or not signed by the new key")
		return
	}
	now := c.clock.Now()
	err := c.applyAnywhere(r.Context(), evacuate.Entry{Kind: evacuate.KindHostRenew, At: now, By: c.id, Host: nova.HostName(host),
		Key: &evacuate.HostKey{ID: identity.KeyID(q.Public), Public: q.Public, Added: now}})
	if err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	reply(w, struct{}{})
}

func renewMessage(host string, pub []byte) []byte {
	return append([]byte("lifeboat renew "+host+"\x00"), pub...)
}

// keyLife is how long an agent uses a key before it makes a new one.
const keyLife = 30 * 24 * time.Hour
