package app

import (
	"github.com/lifeboat-ha/lifeboat/detector/service"
)

// newMonitor watches the services that the configuration names. Where the mode only
// watches, as the controllers last said, nothing is restarted.
func newMonitor(a *Agent) *service.Monitor {
	o := service.MonitorOptions{Limit: a.cfg.ServiceRestarts, Now: a.clock.Now, Log: a.log, Watches: func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.roster.Watches
	}}
	for _, s := range a.cfg.Services {
		o.Units = append(o.Units, service.Unit{Name: s.Unit, Check: s.Check, Restart: s.Restart, After: s.After})
	}
	return service.NewMonitor(o)
}
