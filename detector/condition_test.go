package detector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// calm is a cloud of 20 hosts in four racks, in which all is well.
func calm() CloudView {
	v := CloudView{Verdicts: map[nova.HostName]Verdict{}, Writable: true, Voters: 3, Fresh: 3, NovaAge: time.Second, NovaFresh: 15 * time.Second, StormLimit: 2}
	for i := range 20 {
		name := nova.HostName(fmt.Sprintf("cmp%02d", i))
		v.Verdicts[name] = Verdict{Host: name, State: Healthy, Reason: ReasonHeartbeat, Silent: 500 * ms,
			View: View{Domain: Domain(fmt.Sprintf("rack%d", i/5+1)), Sensors: map[string]string{}}}
	}
	return v
}

// set changes the verdicts on hosts from a to b, both included.
func set(v *CloudView, a, b int, change func(x *Verdict)) {
	for i := a; i <= b; i++ {
		name := nova.HostName(fmt.Sprintf("cmp%02d", i))
		x := v.Verdicts[name]
		change(&x)
		v.Verdicts[name] = x
	}
}

func falls(x *Verdict)  { x.State, x.Reason, x.Silent = Suspect, ReasonInvestigating, 6*time.Second }
func killed(x *Verdict) { x.State, x.Reason, x.Silent = Dead, ReasonPowerOff, 6*time.Second }
func aged(d time.Duration) func(x *Verdict) {
	return func(x *Verdict) { falls(x); x.Silent = d }
}

type sky struct {
	name      string
	change    func(v *CloudView)
	condition Condition
	reason    Reason
}

func ownSkies() []sky {
	return []sky{
		{"all well", func(*CloudView) {}, Normal, ReasonAllWell},
		{"no quorum", func(v *CloudView) { v.Writable = false }, LedgerReadOnly, ReasonNoQuorum},
		{"no quorum goes before all", func(v *CloudView) { v.Writable, v.NovaAge = false, -1; set(v, 0, 9, falls) }, LedgerReadOnly, ReasonNoQuorum},
		{"a minority reports", func(v *CloudView) { v.Fresh = 1 }, ControlPlaneFault, ReasonFewControllers},
		{"Nova never reached", func(v *CloudView) { v.NovaAge = -1 }, ControlPlaneFault, ReasonNovaSilent},
		{"Nova silent", func(v *CloudView) { v.NovaAge = 16 * time.Second }, ControlPlaneFault, ReasonNovaSilent},
		{"Nova silent goes before a storm", func(v *CloudView) { v.NovaAge = 16 * time.Second; set(v, 0, 5, falls) }, ControlPlaneFault, ReasonNovaSilent},
		{"nobody has the VIP", func(v *CloudView) {
			v.Control = Control{Condition: ControlPlaneFault, Reason: ReasonVIPNoOwner, Detail: "nobody"}
			set(v, 5, 9, falls)
		}, ControlPlaneFault, ReasonVIPNoOwner},
		{"no conductor behind the VIP", func(v *CloudView) {
			v.Control = Control{Condition: ControlPlaneFault, Reason: ReasonBehindVIP, Detail: "none"}
			set(v, 0, 5, falls)
		}, ControlPlaneFault, ReasonBehindVIP},
		{"many hosts do not reach the VIP", func(v *CloudView) {
			v.Control = Control{Condition: ControlPlaneFault, Reason: ReasonVIPUnreached, Detail: "many"}
		}, ControlPlaneFault, ReasonVIPUnreached},
		{"Nova silent tells more than the VIP", func(v *CloudView) {
			v.NovaAge, v.Control = 16*time.Second, Control{Condition: ControlPlaneFault, Reason: ReasonVIPUnreached, Detail: "many"}
		}, ControlPlaneFault, ReasonNovaSilent},
		{"two controllers have the VIP", func(v *CloudView) {
			v.Control = Control{Condition: VIPSplit, Reason: ReasonVIPTwin, Detail: "two"}
		}, VIPSplit, ReasonVIPTwin},
		{"a rack does not reach the VIP", func(v *CloudView) {
			v.Control = Control{Condition: SegmentFault, Reason: ReasonVIPDomain, Domains: []Domain{"rack1"}, Detail: "rack1"}
		}, SegmentFault, ReasonVIPDomain},
		{"a rack does not reach the VIP, in a storm", func(v *CloudView) {
			v.Control = Control{Condition: SegmentFault, Reason: ReasonVIPDomain, Domains: []Domain{"rack1"}, Detail: "rack1"}
			for i := range 5 {
				set(v, 5+i, 5+i, aged(time.Duration(i+1)*time.Minute))
			}
		}, Storm, ReasonManyDown},
		{"half of the hosts silent", func(v *CloudView) { set(v, 0, 10, falls) }, ControlPlaneFault, ReasonFewHeard},
		{"two controllers hear nobody", func(v *CloudView) {
			set(v, 0, 0, func(x *Verdict) {
				x.View.Controllers = []Hearing{{Controller: "ctl1"}, {Controller: "ctl2", Deaf: true}, {Controller: "ctl3", Deaf: true}}
			})
		}, ControlPlaneFault, ReasonControllersDeaf},
		{"one controller hears nobody", func(v *CloudView) {
			set(v, 0, 0, func(x *Verdict) { x.View.Controllers = []Hearing{{Controller: "ctl2", Deaf: true}} })
		}, Normal, ReasonAllWell},
		{"storage gone for most", func(v *CloudView) {
			set(v, 0, 19, func(x *Verdict) {
				x.View.Networks = []NetworkSight{{Reach: Reach{Network: NetworkStorage, Asked: 3, Age: time.Second}}}
			})
			set(v, 0, 8, func(x *Verdict) { x.View.Networks[0].Reached = 1; x.View.Networks = slices.Clone(x.View.Networks) })
		}, ControlPlaneFault, ReasonNetworkForMost},
		{"two owners of the VIP", func(v *CloudView) {
			set(v, 3, 4, func(x *Verdict) { x.View.Sensors = map[string]string{SensorVIP: SensorVIPTwin} })
		}, VIPSplit, ReasonVIPTwin},
		{"one host sees two owners", func(v *CloudView) {
			set(v, 3, 3, func(x *Verdict) { x.View.Sensors = map[string]string{SensorVIP: SensorVIPTwin} })
		}, Normal, ReasonAllWell},
	}
}

func hostSkies() []sky {
	return []sky{
		{"one host down", func(v *CloudView) { set(v, 0, 0, falls) }, Normal, ReasonAllWell},
		{"as many as allowed", func(v *CloudView) { set(v, 0, 0, falls); set(v, 7, 7, killed) }, Normal, ReasonAllWell},
		{"one more", func(v *CloudView) { set(v, 0, 0, falls); set(v, 7, 7, killed); set(v, 14, 14, killed) }, Storm, ReasonManyDown},
		{"more were down, and are recovered", func(v *CloudView) {
			set(v, 0, 0, falls)
			set(v, 7, 8, killed)
			v.Settled = map[nova.HostName]bool{"cmp07": true, "cmp08": true}
		}, Normal, ReasonAllWell},
		{"a rack falls silent", func(v *CloudView) { set(v, 5, 9, falls) }, SegmentFault, ReasonDomainSilent},
		{"nearly a whole rack", func(v *CloudView) { set(v, 5, 8, falls) }, SegmentFault, ReasonDomainSilent},
		{"three of a rack of five", func(v *CloudView) { set(v, 5, 7, falls) }, Storm, ReasonManyDown},
		{"a rack, one host of it dead for an hour", func(v *CloudView) { set(v, 5, 9, falls); set(v, 5, 5, aged(time.Hour)) }, SegmentFault, ReasonDomainSilent},
		{"a rack, one after the other", func(v *CloudView) {
			for i := range 5 {
				set(v, 5+i, 5+i, aged(time.Duration(i+1)*time.Minute))
			}
		}, Storm, ReasonManyDown},
		{"a rack of two", func(v *CloudView) {
			set(v, 5, 6, func(x *Verdict) { falls(x); x.View.Domain = "rack9" })
		}, SegmentFault, ReasonDomainSilent},
		{"two of a rack of three, one in maintenance", func(v *CloudView) {
			set(v, 5, 7, func(x *Verdict) { falls(x); x.View.Domain = "rack9" })
			set(v, 7, 7, func(x *Verdict) { x.State = Maintenance })
		}, SegmentFault, ReasonDomainSilent},
		{"a rack without power, as its BMCs say", func(v *CloudView) { set(v, 5, 9, killed) }, Storm, ReasonManyDownPowerLost},
		{"a rack of which one BMC says off", func(v *CloudView) { set(v, 5, 9, falls); set(v, 5, 5, killed) }, SegmentFault, ReasonDomainSilent},
		{"a rack without storage", func(v *CloudView) {
			set(v, 5, 9, func(x *Verdict) { x.State, x.Reason = Isolated, ReasonStorageGone })
		}, SegmentFault, ReasonDomainOffNetwork},
		{"two racks", func(v *CloudView) { set(v, 0, 8, falls) }, SegmentFault, ReasonDomainSilent},
		{"a rack in maintenance", func(v *CloudView) { set(v, 5, 9, func(x *Verdict) { falls(x); x.State = Maintenance }) }, Normal, ReasonAllWell},
		{"a rack that announced its stop", func(v *CloudView) { set(v, 5, 9, func(x *Verdict) { falls(x); x.State = Leaving }) }, Normal, ReasonAllWell},
	}
}

// TestSurvey is the table of conditions: docs/decisions.md tells it in words.
func TestSurvey(t *testing.T) {
	told := map[Reason]bool{}
	for _, tt := range append(ownSkies(), hostSkies()...) {
		t.Run(tt.name, func(t *testing.T) {
			v := calm()
			tt.change(&v)
			got := Survey(v, DefaultPolicy())
			if got.Condition != tt.condition || got.Reason != tt.reason {
				t.Errorf("%s (%s: %s), want %s (%s)", got.Condition, got.Reason, got.Detail, tt.condition, tt.reason)
			}
			if got.Detail == "" || strings.Contains(got.Detail, "%!") {
				t.Errorf("its detail says nothing to a person: %q", got.Detail)
			}
			told[got.Reason] = true
		})
	}
	for _, r := range CloudReasons {
		if !told[r] {
			t.Errorf("no row ends at %s", r)
		}
	}
}

// TestCloudSettles keeps holding for a while: hosts come back one by one.
func TestCloudSettles(t *testing.T) {
	segment := Cloud{Condition: SegmentFault, Reason: ReasonDomainSilent, Domains: []Domain{"rack1"}}
	tests := []struct {
		name      string
		now, last Cloud
		ago       time.Duration
		want      Condition
	}{
		{"a rack comes back", Cloud{Condition: Normal}, segment, 100 * ms, SegmentFault},
		{"for the last time", Cloud{Condition: Normal}, segment, Settle - 1, SegmentFault},
		{"it has settled", Cloud{Condition: Normal}, segment, Settle, Normal},
		{"a storm is less", Cloud{Condition: Storm}, segment, time.Second, SegmentFault},
		{"the control plane is more", Cloud{Condition: ControlPlaneFault}, segment, time.Second, ControlPlaneFault},
		{"hosts are heard again", Cloud{Condition: Normal}, Cloud{Condition: ControlPlaneFault, Reason: ReasonFewHeard}, time.Second, ControlPlaneFault},
		{"Nova answers again", Cloud{Condition: Normal}, Cloud{Condition: ControlPlaneFault, Reason: ReasonNovaSilent}, time.Second, Normal},
		{"a storm is over", Cloud{Condition: Normal}, Cloud{Condition: Storm}, time.Second, Normal},
		{"nothing before", Cloud{Condition: Normal}, Cloud{}, time.Second, Normal},
	}
	other := Cloud{Condition: SegmentFault, Domains: []Domain{"rack2"}}
	if got := other.After(segment, time.Second); len(got.Domains) != 2 {
		t.Errorf("one of two racks comes back: %v are held", got.Domains)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.now.After(tt.last, tt.ago)
			if got.Condition != tt.want {
				t.Errorf("%s, want %s", got.Condition, tt.want)
			}
			if silent := (Verdict{State: Dead, Reason: ReasonSilent, View: View{Domain: "rack1"}}); tt.want == SegmentFault && !got.Holds(silent) {
				t.Error("a host of that domain may be fenced")
			}
		})
	}
}

// TestCloudHolds says whom each condition keeps from being fenced, and whose BMC
// may be asked meanwhile.
func TestCloudHolds(t *testing.T) {
	host := func(d Domain, s State, r Reason) Verdict { return Verdict{State: s, Reason: r, View: View{Domain: d}} }
	silent, off, elsewhere := host("rack1", Dead, ReasonSilent), host("rack1", Dead, ReasonPowerOff), host("rack2", Dead, ReasonSilent)
	tests := []struct {
		cloud                  Cloud
		silent, off, elsewhere bool
		reads, readsElsewhere  bool
	}{
		{Cloud{}, false, false, false, true, true},
		{Cloud{Condition: Normal}, false, false, false, true, true},
		{Cloud{Condition: Storm}, false, false, false, false, false},
		{Cloud{Condition: Storm, Domains: []Domain{"rack1"}}, false, false, false, true, false},
		{Cloud{Condition: SegmentFault, Domains: []Domain{"rack1"}}, true, false, false, true, false},
		{Cloud{Condition: VIPSplit}, true, true, true, false, false},
		{Cloud{Condition: ControlPlaneFault}, true, true, true, false, false},
		{Cloud{Condition: LedgerReadOnly}, false, false, false, false, false}, // its own gate is shut
	}
	for _, tt := range tests {
		t.Run(string(tt.cloud.Condition), func(t *testing.T) {
			for _, x := range []struct {
				what      string
				got, want bool
			}{
				{"a silent host is held", tt.cloud.Holds(silent), tt.silent}, {"one that is off is held", tt.cloud.Holds(off), tt.off},
				{"one elsewhere is held", tt.cloud.Holds(elsewhere), tt.elsewhere},
				{"its BMC is read", tt.cloud.ReadsPower("rack1"), tt.reads}, {"a BMC elsewhere is read", tt.cloud.ReadsPower("rack2"), tt.readsElsewhere},
			} {
				if x.got != x.want {
					t.Errorf("%s: %t, want %t", x.what, x.got, x.want)
				}
			}
		})
	}
}
