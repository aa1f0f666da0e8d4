package config

import "time"

// DefaultPolicy is that of a file which says nothing.
func DefaultPolicy() Policy {
	return Policy{
		Mode: "observe", Storage: StorageNone,
		HeartbeatInterval: time.Second, Missed: 3, HoldDown: 10 * time.Second,
		Storm:       Storm{Percent: 10, Window: 10 * time.Minute, Cliff: Cliff{Percent: 5, Within: 5 * time.Second}},
		LeaderGrace: 15 * time.Second,
		Concurrency: 2, InFlight: 40, Destinations: DestinationsSpread, Affinity: AffinityAsk, Order: Order{Owners: true}, Reserved: ReservedEnable,
		Guests: defaultGuests(), Services: "report", QuietPeriod: 180 * time.Second, HealthyDelay: 60 * time.Second,
		PlanExpiry: 15 * time.Minute, ShadowWindow: time.Hour,
		PowerOn: PowerOnOperator, IsolatedFor: time.Minute, Aggregates: true, Protect: ProtectAll, ProtectKey: KeyMasakari,
		Proofs: Proofs{Word: "alone", Watchdog: "alone", Storage: "required"},
		Flap:   Flap{Limit: 6, Window: 24 * time.Hour, Quarantine: 24 * time.Hour},
	}
}
