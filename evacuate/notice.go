package evacuate

import (
	"fmt"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// NoticeKind is what a notice is about; a receiver may ask for some kinds only.
type NoticeKind string

// Kinds of notices.
const (
	NoticePlan     NoticeKind = "plan"     // a plan waits, was answered, or ended
	NoticeRecovery NoticeKind = "recovery" // opened, recovered (with its report), closed
	NoticeHeld     NoticeKind = "held"     // a recovery waits, and why
	NoticeShadow   NoticeKind = "shadow"   // what shadow would have done was wrong
	NoticeVIP      NoticeKind = "vip"      // something is wrong with the control plane's address, or over
	NoticeGuest    NoticeKind = "guest"    // an instance runs twice, or does no more
)

// NoticeKinds lists all kinds.
var NoticeKinds = [...]NoticeKind{NoticePlan, NoticeRecovery, NoticeHeld, NoticeShadow, NoticeVIP, NoticeGuest}

// Notice is something that people outside should hear of. The same notice has
// the same ID on every controller, and may arrive twice.
type Notice struct {
	ID      string        `json:"id"`
	Kind    NoticeKind    `json:"kind"`
	Event   string        `json:"event"` // waiting, approved, recovered ...
	At      time.Time     `json:"at"`
	Cluster string        `json:"cluster"`
	Host    nova.HostName `json:"host"`
	Text    string        `json:"text"`

	Plan   *Proposal `json:"plan,omitempty"`
	Report *Report   `json:"report,omitempty"`
}

// Report is a recovery in numbers. Times count from the last heartbeat heard;
// zero is what has not happened.
type Report struct {
	Recovery      RecoveryID        `json:"recovery"`
	Host          nova.HostName     `json:"host"`
	Status        Status            `json:"status"`
	Outcome       string            `json:"outcome,omitempty"`
	Verdict       string            `json:"verdict"`
	LastHeard     time.Time         `json:"last_heard"`
	Detected      Seconds           `json:"detected_seconds"`
	Fenced        Seconds           `json:"fenced_seconds,omitempty"`
	FirstInstance Seconds           `json:"first_instance_seconds,omitempty"`
	LastInstance  Seconds           `json:"last_instance_seconds,omitempty"`
	Proof         string            `json:"proof,omitempty"` // the method that gave it
	Moved         int               `json:"moved"`
	Left          map[string]string `json:"left,omitempty"` // instance: why it was not moved
	// Instances tells of each, in the order of the plan.
	Instances  []InstanceReport `json:"instances,omitempty"`
	LeftBehind []string         `json:"left_behind,omitempty"`
	ApprovedBy string           `json:"approved_by,omitempty"`
	Timeline   []Event          `json:"timeline"`
}

// InstanceReport is what became of one instance. Was is its state before anything,
// Ended counts from the last heartbeat like the rest.
type InstanceReport struct {
	ID        nova.ServerID `json:"id"`
	Name      string        `json:"name"`
	Was       string        `json:"was"`
	Outcome   EvacState     `json:"outcome"`
	Host      nova.HostName `json:"host,omitempty"`
	Attempts  int           `json:"attempts,omitempty"`
	Ended     Seconds       `json:"ended_seconds,omitempty"`
	RequestID string        `json:"request_id,omitempty"`
	Reason    string        `json:"reason,omitempty"`
	// Check is what was read of it once it was moved.
	Check *Check `json:"check,omitempty"`
	// RunsOn names the hosts on which it runs at once, while it does.
	RunsOn string `json:"runs_on,omitempty"`
}

func (e *Evacuation) report(since func(time.Time) Seconds) InstanceReport {
	out := InstanceReport{RunsOn: e.Twin, ID: e.Server, Name: e.Name, Was: e.VMState, Outcome: e.State, Host: e.Dest, Attempts: e.Attempt, RequestID: e.RequestID, Reason: orWord(orWord(e.Reason, e.Waits), e.Remark), Check: e.Check}
	if e.Stop == StopFailed || e.Stop == StopPassed {
		out.Reason = strings.TrimPrefix(e.stopText(), "; ")
	}
	if e.State == EvacDone || e.State == EvacSkipped {
		out.Ended = since(e.Ended)
	}
	return out
}

// Seconds is a duration for programs that know no Go.
type Seconds float64

// Report sums a recovery up.
func (r *Recovery) Report() *Report {
	since := func(t time.Time) Seconds {
		if t.IsZero() || r.LastHeard.IsZero() {
			return 0
		}
		return Seconds(t.Sub(r.LastHeard).Round(100 * time.Millisecond).Seconds())
	}
	out := &Report{Recovery: r.ID, Host: r.Host, Status: r.Status, Outcome: r.Outcome, Verdict: fmt.Sprintf("%s: %s", r.Verdict, r.Detail),
		LastHeard: r.LastHeard, Detected: since(r.Opened), Fenced: since(r.ProvedAt()), LeftBehind: r.Left, Timeline: r.Timeline, Left: map[string]string{}}
	if r.Proof != nil {
		out.Proof = r.Proof.Method
	}
	if r.Approval != nil {
		out.ApprovedBy = r.Approval.Mark.String()
	}
	for _, e := range r.Evacuations {
		out.Instances = append(out.Instances, e.report(since))
		if e.State != EvacDone {
			out.Left[e.Name] = orWord(orWord(e.Reason, e.Waits), string(e.State))
			continue
		}
		out.Moved++
		if t := since(e.Ended); out.FirstInstance == 0 || t < out.FirstInstance {
			out.FirstInstance = t
		}
		out.LastInstance = max(out.LastInstance, since(e.Ended))
	}
	return out
}

// Notices lists everything in the state that people outside should hear of.
func Notices(s *State) []Notice {
	var out []Notice
	add := func(n Notice) {
		n.Cluster = s.Cluster
		n.ID = fmt.Sprintf("%s/%d/%s", s.ClusterID, s.Generation, n.ID)
		out = append(out, n)
	}
	for _, p := range s.Plans {
		planNotices(p, add)
	}
	for _, r := range s.Sorted() {
		recoveryNotices(r, add)
	}
	vipNotices(s.VIP, add)
	guestNotices(s.Guests, add)
	restartNotices(s, add)
	for _, d := range s.Shadow {
		if d.Score == ScoreWrong {
			add(Notice{ID: "shadow/" + d.ID, Kind: NoticeShadow, Event: string(d.Score), At: d.Scored, Host: d.Host, Text: d.Why, Plan: d.Plan})
		}
	}
	return out
}

func planNotices(p *Proposal, add func(Notice)) {
	n := Notice{Kind: NoticePlan, Host: p.Host, Plan: p}
	step := func(event PlanStatus, at time.Time, text string) {
		n.ID, n.Event, n.At, n.Text = fmt.Sprintf("plan/%s/%s", p.ID, event), string(event), at, text
		add(n)
	}
	switch {
	case p.Status == PlanWaiting:
		step(PlanWaiting, p.Prepared, fmt.Sprintf("plan %s waits for an approval until %s: %s. Why: %s. `lifeboat approve %s` or `lifeboat reject %s --reason ...`",
			p.ID, p.Expires.UTC().Format(time.RFC3339), p.Line(), p.Why, p.ID, p.ID))
	case p.Ended != nil:
		step(p.Status, p.Ended.At, fmt.Sprintf("plan %s for %s is %s by %s", p.ID, p.Host, p.Status, p.Ended))
	case p.Approval != nil:
		step(PlanApproved, p.Approval.At, fmt.Sprintf("plan %s for %s was approved by %s", p.ID, p.Host, p.Approval.Mark))
	}
}

func recoveryNotices(r *Recovery, add func(Notice)) {
	n := Notice{Kind: NoticeRecovery, Host: r.Host, Report: r.Report()}
	step := func(event string, at time.Time, text string) {
		n.ID, n.Event, n.At, n.Text = fmt.Sprintf("recovery/%s/%s", r.ID, event), event, at, text
		add(n)
	}
	step("opened", r.Opened, fmt.Sprintf("recovery %s of %s: %s", r.ID, r.Host, r.Detail))
	if !r.Recovered.IsZero() {
		step("recovered", r.Recovered, fmt.Sprintf("%s is recovered: %d instances moved, %d left, %s after it was last heard", r.Host, n.Report.Moved, len(n.Report.Left), round(r.Recovered.Sub(r.LastHeard))))
	}
	if r.Status == StatusClosed {
		step("closed", r.Closed, fmt.Sprintf("recovery %s of %s is closed: %s", r.ID, r.Host, r.Outcome))
	}
	if f := r.Failback; f != nil && !f.Ended.IsZero() {
		step("failback", f.Ended, fmt.Sprintf("failback to %s is over: %s", r.Host, f.Reason))
	}
	if h := r.Hold; h != nil {
		n.Kind = NoticeHeld
		step(fmt.Sprintf("held-%d", h.Since.Unix()), h.Since, fmt.Sprintf("recovery %s of %s is held at %s%s: %s", r.ID, r.Host, h.Gate, h.Step, h.Reason))
	}
}
