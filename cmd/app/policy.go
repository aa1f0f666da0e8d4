package app

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

func policyOf(p config.Policy, k config.Kdump, f config.Fencing) evacuate.Policy {
	out := evacuate.DefaultPolicy()
	out.Errands = f.Errands
	out.LeaderGrace, out.StormCount, out.StormPercent = p.LeaderGrace, p.Storm.Count, p.Storm.Percent
	out.StormWindow, out.StormPerHour, out.Aggregates = p.Storm.Window, p.Storm.PerHour, p.Aggregates
	out.CliffPercent, out.CliffWindow = p.Storm.Cliff.Percent, p.Storm.Cliff.Within
	out.StormDomains = map[string]evacuate.DomainLimit{}
	out.FlapLimit, out.FlapWindow, out.Quarantine = p.Flap.Limit, p.Flap.Window, p.Flap.Quarantine
	out.Protect, out.ProtectKey, out.Restart = evacuate.Protect(p.Protect), p.ProtectKey, p.Restart
	out.Proofs = evacuate.Proofs{Word: evacuate.Suffices(p.Proofs.Word), Watchdog: evacuate.Suffices(p.Proofs.Watchdog), Storage: evacuate.StorageDemand(p.Proofs.Storage)}
	for kind, l := range p.Storm.Domains {
		out.StormDomains[kind] = evacuate.DomainLimit{Max: l.Max, Recover: l.Recover}
	}
	out.PerDestination, out.Destinations, out.Affinity = p.PerDestination, evacuate.Destinations(p.Destinations), evacuate.Affinity(p.Affinity)
	out.Restarts = evacuate.Restarts{Crashed: evacuate.Restarting(p.Guests.Crashed), Rebooted: evacuate.Restarting(p.Guests.Rebooted),
		All: p.Guests.Instances == config.GuestsAll, Limit: p.Guests.Limit, Within: p.Guests.Within, Key: p.Guests.Key}
	for _, k := range p.Guests.Kinds {
		out.Restarts.Kinds = append(out.Restarts.Kinds, detector.GuestEnd(k))
	}
	out.Services = evacuate.Services(p.Services)
	out.PerBackend, out.Failback = p.PerBackend, p.Failback
	out.JoinReserves = p.Reserved == config.ReservedJoin
	out.Order = evacuate.Order{Owners: p.Order.Owners, Ports: p.Order.Ports, Projects: p.Order.Projects}
	out.Concurrency, out.InFlight, out.QuietPeriod = p.Concurrency, p.InFlight, p.QuietPeriod
	out.HealthyDelay, out.PowerOn = p.HealthyDelay, p.PowerOn == config.PowerOnAutomatic
	if k.Listen.IsValid() {
		out.KdumpQuiet, out.KdumpMost = time.Duration(k.Missed)*k.Interval, k.Most
	}
	out.PlanExpiry, out.ShadowWindow = p.PlanExpiry, p.ShadowWindow
	for a, m := range p.AggregateModes {
		if out.AggregateModes == nil {
			out.AggregateModes = map[string]evacuate.Mode{}
		}
		out.AggregateModes[a] = evacuate.Mode(m)
	}
	return out
}

func judgeOf(p config.Policy) detector.Policy {
	out := detector.DefaultPolicy()
	out.Interval, out.Missed, out.HoldDown = p.HeartbeatInterval, p.Missed, p.HoldDown
	out.IsolatedFor = p.IsolatedFor
	out.FenceAiling = p.Services == config.FenceRunningGuests
	out.Matrix = detector.DefaultMatrix()
	for combination, word := range p.Matrix {
		if word == config.FenceRunningGuests {
			word = config.Fence
		}
		out.Matrix[combination] = detector.Meaning(word)
	}
	return out
}
