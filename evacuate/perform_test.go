package evacuate

import (
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// perform makes an action's call in the fake world, as evacuate/runner would in
// the real one, and sets when its answer is back.
func (c *cloud) perform(f *flight) {
	a := f.a
	f.out = Outcome{Action: a, OK: true}
	h := c.host(a.Host)
	took := 500 * time.Millisecond
	if c.novaDown && a.Step != StepFence && a.Step != StepPowerOn {
		f.out.OK, f.out.Cause, f.out.Detail, f.out.Definite = false, "nova-unsent", "connection refused", true
		f.answer = c.now.Add(took)
		return
	}
	if a.Step != StepObserve && a.Step != StepProbe && a.Step != StepTrace && a.Step != StepTraceAway && a.Step != StepLookGuest {
		c.say("call    %s #%d %s", a.Step, a.Attempt, target(a))
	}
	switch a.Step {
	case StepDisable:
		took = c.disable(a, &f.out)
	case StepFence:
		took = c.fence(a, h, &f.out)
	case StepFenceStorage, StepUnfenceStorage:
		took = c.storage(a, h, &f.out)
	case StepForceDown:
		c.needProof(f)
		c.needStorage(a)
		h.service.ForcedDown, h.service.Disabled = true, true
		if h.service.DisabledReason == "" {
			h.service.DisabledReason = a.Reason
		}
	case StepList:
		f.out.Servers, took = c.on(a.Host), time.Second
	case StepRelist:
		f.out.Servers = c.on(a.Host)
		if why := c.doubted(a, h); why != "" {
			f.out.OK, f.out.Detail = false, why
		}
		if c.restless {
			f.out.OK, f.out.Detail = false, "no two lists agree"
		}
	case StepEvacuate:
		took = c.post(f, &f.out)
	case StepReset:
		took = c.reset(f, &f.out)
	case StepReserve:
		if c.refused[a.Shield] && !a.Lift {
			f.out.OK, f.out.Detail = false, "conflict (HTTP 409)"
			break
		}
		svc := &c.host(a.Shield).service
		c.join(a)
		if svc.Disabled = a.Lift; a.Lift {
			svc.DisabledReason = a.Reason
		} else {
			svc.DisabledReason = ""
		}
	case StepDisableAiling, StepEnableAiling:
		c.ail(f)
	case StepLookGuest, StepStopGuest, StepStartGuest:
		c.guest(f)
	case StepObserve, StepResolve:
		took = pulse
		f.out.Seen = c.observe(a)
		if s, ok := f.out.Seen.Source[a.Server]; ok && a.Step == StepResolve {
			f.out.Servers = []nova.Server{s}
		}
	case StepTrace, StepTraceAway:
		took = pulse
		f.out.Seen = c.observe(Action{Step: a.Step, Host: a.Host, Servers: []nova.ServerID{a.Server}, Deep: true, Ends: true})
	case StepFailback, StepMoveAway:
		c.sendHome(f, &f.out)
	case StepProbe:
		s := c.server(a.Server)
		f.out.OK = s != nil && s.VMState == nova.VMActive && !c.deaf[a.Server]
	case StepVerify:
		f.out.Reads = c.readBack(a)
	case StepStop:
		took = c.stopAgain(f, &f.out)
	case StepPowerOn:
		h.on(c.now)
		took = 5 * time.Second
	case StepUnforce:
		h.service.ForcedDown = h.service.ForcedDown && a.Service.ForcedDown
	case StepEnable:
		c.enable(h)
	case StepCancel:
		if !a.OffSent.IsZero() && !h.power && h.bmc == bmcOK {
			f.out.OK, f.out.Detail = false, "its BMC reads off although it is heard"
			break
		}
		h.service.ForcedDown = h.service.ForcedDown && a.Service.ForcedDown
		c.enable(h)
	case StepOpen, StepReport:
		c.breaks("%s was to be called", a.Step)
	}
	f.answer = c.now.Add(took)
}

func target(a Action) string {
	switch {
	case a.Shield != "" && a.Lift:
		return "lift " + string(a.Shield)
	case a.Shield != "":
		return "shield " + string(a.Shield)
	case a.Server != "":
		return string(a.Server)
	}
	return string(a.Host)
}

// needProof asserts rule 1 at the moment of a call. A proof that was voided in
// the pulse between the intent and the call is the window of docs/safety.md.
func (c *cloud) needProof(f *flight) {
	a := f.a
	h, r := c.host(a.Host), c.state.Recoveries[a.Recovery]
	p, ok := r.Proved()
	switch {
	case !ok && f.proved:
		c.say("window  the proof was voided between intent and %s", a.Step)
	case !ok:
		c.breaks("%s of %s without a valid proof", a.Step, target(a))
	case !p.Covers(string(a.Host), a.Boot) || a.Proof == nil || a.Boot != r.Boot:
		c.breaks("%s of %s: the proof is for another host or boot", a.Step, target(a))
	case h.power && !c.lied && h.upAt.IsZero():
		c.breaks("%s of %s while %s is powered", a.Step, target(a), h.name)
	}
	if c.state.Frozen || c.frozen != "" {
		c.say("note    %s was already on its way when the freeze came", a.Step)
	}
}

func (c *cloud) disable(a Action, o *Outcome) time.Duration {
	h := c.host(a.Host)
	if a.Shield != "" {
		h = c.host(a.Shield)
	}
	if a.Lift {
		c.enable(h)
		return time.Second
	}
	if a.Shield == "" {
		before := ServiceBefore{ID: h.service.ID, Disabled: h.service.Disabled, Reason: h.service.DisabledReason, ForcedDown: h.service.ForcedDown}
		if h.service.DisabledReason == a.Reason {
			before = a.Service
		}
		o.Service = &before
	}
	if !h.service.Disabled {
		h.service.Disabled, h.service.DisabledReason = true, a.Reason
	}
	return 3 * time.Second
}

func (c *cloud) enable(h *fakeHost) {
	if h.service.Disabled && IsOurReason(h.service.DisabledReason) {
		h.service.Disabled, h.service.DisabledReason = false, ""
	}
}

func (c *cloud) fence(a Action, h *fakeHost, o *Outcome) time.Duration {
	o.OffSent = c.now
	fail := func(cause fence.Cause) { o.OK, o.Cause, o.Detail = false, string(cause), "no proof of power off" }
	c.commands(a)
	if h.bmc == bmcUnreachable || h.bmc == bmcFar && a.Hand == "" {
		fail(fence.CauseUnreachable)
		return 20 * time.Second
	}
	switch h.bmc {
	case bmcAuth:
		fail(fence.CauseAuth)
		return time.Second
	case bmcLies:
		fail(fence.CauseNotHonoured)
		return 20 * time.Second
	case bmcOK, bmcFar:
		h.off()
	}
	at := func(ms int) time.Time { return c.now.Add(time.Duration(ms) * time.Millisecond) }
	o.Proof = &fence.Record{Host: string(a.Host), Boot: a.Boot, By: a.Hand, Method: "redfish", Commanded: c.now, Readings: []fence.Reading{
		{Method: "redfish", Power: fence.Off, Began: at(300), Ended: at(400)},
		{Method: "redfish", Power: fence.Off, Began: at(1300), Ended: at(1400)},
	}}
	return 1500 * time.Millisecond
}

// storage is the operator's program.
func (c *cloud) storage(a Action, h *fakeHost, o *Outcome) time.Duration {
	r := c.state.Recoveries[a.Recovery]
	if away := a.Step == StepUnfenceStorage; away && !c.lied {
		for _, m := range c.rows {
			if m.Source == a.Host && !m.Status.Terminal() && m.fate != "stuck" && !c.orphan(m) && c.state.Recoveries[a.Recovery].Evacuation(m.Server) != nil {
				c.breaks("the storage of %s is given back while %s is on its way", a.Host, m.Server)
			}
		}
	}
	if r.StorageFence == nil {
		c.breaks("%s of %s without its committed intent", a.Step, a.Host)
	}
	fate := ""
	if len(c.hookFate) > 0 {
		fate, c.hookFate = c.hookFate[0], c.hookFate[1:]
	}
	if fate != "fails" {
		h.cut = a.Step == StepFenceStorage
	}
	if fate != "" {
		o.OK, o.Detail = false, "storage: the program "+fate
	}
	return 2 * time.Second
}

// needStorage: nothing of a host's starts elsewhere before its storage is gone.
func (c *cloud) needStorage(a Action) {
	if c.hook && c.policy.Proofs.Storage != StorageOptional && !c.host(a.Host).cut {
		c.breaks("%s of %s, and its storage is not taken away", a.Step, target(a))
	}
}

func (c *cloud) on(host nova.HostName) []nova.Server {
	var out []nova.Server
	for _, s := range c.servers {
		if s.Host == host {
			out = append(out, *s)
		}
	}
	return out
}

func next(q map[nova.ServerID][]string, id nova.ServerID) string {
	if len(q[id]) == 0 {
		return ""
	}
	fate := q[id][0]
	q[id] = q[id][1:]
	return fate
}

// post is the one call that Nova does not make idempotent.
func (c *cloud) post(f *flight, o *Outcome) time.Duration {
	c.needProof(f)
	a := f.a
	c.needStorage(a)
	s, r := c.server(a.Server), c.state.Recoveries[a.Recovery]
	e := r.Evacuation(a.Server)
	if e.State != EvacIntent || e.Attempt != a.Attempt {
		c.breaks("POST of %s without its committed intent", a.Server)
	}
	for _, m := range c.rows {
		if m.Server == a.Server && !m.Status.Terminal() && (m.Dest == "" || m.Status == nova.MigrationAccepted || c.host(m.Dest).power && !c.lied) {
			c.breaks("second live POST of %s: row %d is %s", a.Server, m.ID, m.Status)
		}
	}
	for _, l := range c.late {
		if l.server == a.Server {
			c.breaks("second live POST of %s: the first is still on its way", a.Server)
		}
	}
	c.posts[a.Server]++
	fate := next(c.postFate, a.Server)
	switch {
	case s == nil:
		o.OK, o.Definite, o.Cause, o.Detail = false, true, string(nova.FaultNotFound), "no such server"
		return pulse
	case fate == "late":
		c.late = append(c.late, latePost{a.Server, a.Host, c.now.Add(12 * time.Second)})
		o.OK, o.Detail = false, "no answer in time"
		return 10 * time.Second
	case fate == "lost":
		o.OK, o.Detail = false, "no answer in time"
		return 10 * time.Second
	case fate == "busy":
		o.OK, o.Definite, o.Cause, o.Detail, o.Answer = false, true, string(nova.FaultBusy), "busy (HTTP 429)", Answered{429, 7 * time.Second}
		return pulse
	case fate == "invalid":
		o.OK, o.Definite, o.Cause, o.Detail, o.Answer = false, true, string(nova.FaultRefused), "refused (HTTP 400): not supported", Answered{Status: 400}
		return pulse
	case fate == "refused" || c.host(a.Host).service.State == nova.StateUp || !movable[s.VMState]:
		o.OK, o.Definite, o.Cause, o.Detail = false, true, string(nova.FaultConflict), "refused (HTTP 409)"
		o.Answer.Status = 409
		return pulse
	case fate == "unsent": // the rows could not be read before it
		o.OK, o.Definite, o.Cause, o.Detail = false, true, "nova-unknown", "unknown (HTTP 503)"
		return pulse
	}
	c.accept(s, a.Host, c.now, a.To)
	o.RequestID = fmt.Sprintf("req-%d", len(c.rows))
	if c.model != nil {
		return c.model.answered(c.now)
	}
	if fate == "timeout" {
		o.OK, o.Detail, o.RequestID = false, "no answer in time", ""
		return 10 * time.Second
	}
	return 500 * time.Millisecond
}

// doubted is the runner's look at the power before something is begun anew.
func (c *cloud) doubted(a Action, h *fakeHost) string {
	switch n := len(a.Proof.Readings); {
	case h.bmc == bmcUnreachable && a.Again && n > 0 && c.now.Sub(a.Proof.Readings[n-1].Ended) > 15*time.Minute:
		return "no proof of power off: it is old, and the BMC does not tell"
	case h.bmc == bmcOK && h.power:
		return "no proof of power off: it reads on again"
	}
	return ""
}

func (c *cloud) observe(a Action) *Observation {
	o := &Observation{Source: map[nova.ServerID]nova.Server{}, Moved: map[nova.ServerID]nova.Server{}, Gone: map[nova.ServerID]bool{}}
	ended := map[nova.ServerID]bool{}
	for _, m := range c.rows {
		if m.Source == a.Host {
			o.Rows = append(o.Rows, m.Migration)
			ended[m.Server] = m.Status.Terminal()
		}
	}
	for _, s := range c.on(a.Host) {
		o.Source[s.ID] = s
	}
	o.Listed = true
	if a.Claims {
		o.Claims = c.claimed(a.Host)
	}
	if a.Again {
		o.Power = c.doubted(a, c.host(a.Host))
	}
	if o.Ends = a.Ends; a.Ends {
		o.Moves = c.moves
	}
	for _, id := range slices.Concat(a.Servers, []nova.ServerID{a.Server}) {
		s := c.server(id)
		switch _, here := o.Source[id]; {
		case id == "":
		case s == nil:
			o.Gone[id] = true
		case !here || ended[id] || a.Deep:
			o.Moved[id] = *s
		}
	}
	return o
}
