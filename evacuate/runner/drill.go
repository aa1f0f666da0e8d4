package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Switch is one fencing method of one host.
type Switch interface {
	Read(ctx context.Context) fence.Reading
	Off(ctx context.Context, boot string, guard fence.Guard) (fence.Proof, []fence.Attempt, error)
	On(ctx context.Context, guard fence.Guard) error
}

// Ears are what all controllers hear.
type Ears interface {
	// Heard is the host's last heartbeat.
	Heard() (at time.Time, boot string)
	// Whole says that a majority of the controllers reports.
	Whole() bool
	// Silenced names the other hosts that fell silent after since.
	Silenced(since time.Time) []nova.HostName
}

const (
	// drillSettles is how long after the proof a heartbeat may still be under way.
	drillSettles = time.Second
	// drillSilent is how long the agent must be silent, drillListens how long that is
	// waited for.
	drillSilent  = 5 * time.Second
	drillListens = 20 * time.Second
	// drillPower bounds the power-off with its proof, and the power-on.
	drillPower = 2 * time.Minute
	// drillBoots is how long a machine may take from power-on to its agent: large
	// servers test their memory for ten minutes.
	drillBoots = 20 * time.Minute
	drillPoll  = 500 * time.Millisecond
)

// Drill powers a host off and on through one of its methods, and holds what the method
// says against what the host's agent does.
type Drill struct {
	Host   nova.HostName
	Run    evacuate.Drilling
	Switch Switch
	Ears   Ears
	Ledger Ledger
	Clock  Clock
	// Permits asks the ledger as it stands now.
	Permits func() error
	// Known is what the device and the host's agent say of the machine.
	Known func() (bmc, machine fence.Identity)
	By    string // the controller
	Log   *slog.Logger

	commanded time.Time
}

// Do carries a drill out that the ledger has taken. Whatever comes of it, power is
// switched on again where it was switched off, and the ledger is told.
func (d *Drill) Do(ctx context.Context) {
	found, err := d.do(ctx)
	if err == nil {
		e := evacuate.Entry{Kind: evacuate.KindHostDrill, Host: d.Host, At: d.Clock.Now(), By: d.Run.By, Says: d.Run.Says, Term: d.Run.Term, Drill: found}
		if err = d.Ledger.Apply(ctx, e); err == nil {
			d.Log.Info("drilled", "host", d.Host, "method", d.Run.Method, "off", found.Off, "silent", found.Silent, "on", found.On)
			return
		}
	}
	if errors.Is(err, errDeposed) || ctx.Err() != nil {
		d.Log.Warn("a drill is left to the next leader", "host", d.Host, "method", d.Run.Method, "reason", err)
		return
	}
	d.Fail(ctx, err.Error())
}

// Fail ends a drill: what was switched off is switched on.
func (d *Drill) Fail(ctx context.Context, why string) {
	if !d.commanded.IsZero() {
		octx, cancel := context.WithTimeout(ctx, drillPower)
		err := d.Switch.On(octx, d.guard())
		cancel()
		if err != nil {
			why += fmt.Sprintf("; AND IT COULD NOT BE SWITCHED ON AGAIN, whatever machine that is: %v", err)
		} else {
			why += "; switched on again"
		}
	}
	run := d.Run
	run.Text = why
	if err := d.stage(ctx, &run, evacuate.DrillFailed); err != nil {
		d.Log.Warn("a drill's end is not recorded", "host", d.Host, "method", d.Run.Method, "reason", err)
	}
	d.Log.Warn("drill failed", "host", d.Host, "method", d.Run.Method, "reason", why)
}

// Resume ends a drill that another leader has begun: nobody has listened meanwhile, so
// that nothing is shown, and the host may be off.
func (d *Drill) Resume(ctx context.Context) {
	d.commanded = d.Clock.Now()
	d.Fail(ctx, fmt.Sprintf("the leader changed at its stage %s", d.Run.Stage))
}

func (d *Drill) guard() fence.Guard {
	return guardBy(d.Ledger, d.Run.Term, d.Clock.Deadline(drillPower), d.Permits)
}

func (d *Drill) stage(ctx context.Context, run *evacuate.Drilling, s evacuate.DrillStage) error {
	run.Stage = s
	said := *run
	err := d.Ledger.Apply(ctx, evacuate.Entry{Kind: evacuate.KindHostDrilling, Host: d.Host, At: d.Clock.Now(), By: d.By, Term: d.Run.Term, Drilling: &said})
	if err != nil {
		return fmt.Errorf("note the stage %s: %w", s, err)
	}
	return nil
}

func (d *Drill) do(ctx context.Context) (*evacuate.Drill, error) {
	out := &evacuate.Drill{Method: d.Run.Method, Target: d.Run.Target, By: d.Run.By, Boot: d.Run.Boot}
	off, err := d.off(ctx)
	if err != nil {
		return nil, err
	}
	last, err := d.silence(ctx, off)
	if err != nil {
		return nil, err
	}
	out.Off, out.Silent = off.Sub(d.commanded), max(last.Sub(d.commanded), 0)
	if err := d.stage(ctx, &d.Run, evacuate.DrillOn); err != nil {
		return nil, err
	}
	began := d.Clock.Now()
	octx, cancel := context.WithTimeout(ctx, drillPower)
	err = d.Switch.On(octx, d.guard())
	cancel()
	if err != nil {
		return nil, fmt.Errorf("power-on: %w", err)
	}
	if err := d.stage(ctx, &d.Run, evacuate.DrillBoot); err != nil {
		return nil, err
	}
	at, boot, err := d.boots(ctx, off)
	if err != nil {
		return nil, err
	}
	out.Next, out.On, out.At = boot, at.Sub(began), d.Clock.Now()
	out.BMC, out.Machine = d.Known()
	return out, nil
}

// off powers the host off and gives the time of the proof.
func (d *Drill) off(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, drillPower)
	defer cancel()
	if r := d.Switch.Read(ctx); r.Power != fence.On {
		return time.Time{}, fmt.Errorf("it reads %s %s (%s) while the host's agent is heard: nothing was commanded", r.Power, r.Cause, r.Raw)
	}
	guard := d.guard()
	proof, attempts, err := d.Switch.Off(ctx, d.Run.Boot, func(ctx context.Context) error {
		if err := guard(ctx); err != nil {
			return err
		}
		if d.commanded.IsZero() {
			d.commanded = d.Clock.Now()
		}
		return nil
	})
	for _, a := range attempts {
		d.Log.Info("drill", "host", d.Host, "method", a.Method, "commands", a.Commands, "power", a.Last.Power, "reason", a.Cause, "took", a.Took)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("power-off: %w", err)
	}
	return proof.At(), nil
}

// silence waits until the host's agent is silent, and gives its last heartbeat. One
// that is heard after the proof runs on another machine than the one that is off.
func (d *Drill) silence(ctx context.Context, off time.Time) (time.Time, error) {
	for {
		now := d.Clock.Now()
		at, _ := d.Ears.Heard()
		switch {
		case at.After(off.Add(drillSettles)):
			return at, fmt.Errorf("%s is heard %s after %s read off: that switches another machine%s", d.Host, at.Sub(off).Round(100*time.Millisecond), d.Run.Method, d.others())
		case d.Ears.Whole() && now.Sub(off) >= drillSilent && now.Sub(at) >= drillSilent:
			return at, nil
		case now.Sub(off) > drillListens:
			return at, errors.New("too few controllers report: nobody can say whether its agent is silent")
		}
		if err := d.Clock.Sleep(ctx, drillPoll); err != nil {
			return at, err
		}
	}
}

// others names who fell silent in the host's place.
func (d *Drill) others() string {
	var names []string
	for _, h := range d.Ears.Silenced(d.commanded) {
		names = append(names, string(h))
	}
	if len(names) == 0 {
		return ""
	}
	return ", and " + strings.Join(names, ", ") + " fell silent"
}

// boots waits for the host's agent with another boot id.
func (d *Drill) boots(ctx context.Context, off time.Time) (at time.Time, boot string, err error) {
	began := d.Clock.Now()
	for {
		at, boot = d.Ears.Heard()
		switch {
		case !at.After(off.Add(drillSettles)):
		case boot == d.Run.Boot:
			return at, boot, fmt.Errorf("%s is heard again with the boot id of before: it was never off, %s switches another machine%s", d.Host, d.Run.Method, d.others())
		case boot != "":
			return at, boot, nil
		}
		if d.Ledger.Term() != d.Run.Term {
			return at, boot, errDeposed
		}
		if d.Clock.Now().Sub(began) > drillBoots {
			return at, boot, fmt.Errorf("it was not heard within %s after power-on: look at its console, start its agent", drillBoots)
		}
		if err := d.Clock.Sleep(ctx, drillPoll); err != nil {
			return at, boot, err
		}
	}
}
