package app

import (
	"github.com/lifeboat-ha/lifeboat/detector/service"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// leaves says why the services of a host are not to be restarted by its agent, "" if they
// may be: who debugs one must not fight it.
func (c *Controller) leaves(host nova.HostName) (why string) {
	if local := c.frozen(); local != "" {
		return "frozen by a local file: " + local
	}
	c.machine.Locked(func(s *evacuate.State) {
		h := s.Hosts[host]
		switch {
		case s.Frozen:
			why = "frozen by " + s.Halt()
		case h != nil && h.Maintenance:
			why = "in maintenance"
		}
	})
	return why
}

// untouched says that nothing of this host's services may be restarted, as the controllers
// last said.
func (a *Agent) untouched() bool {
	r := a.lastRoster()
	return r.Watches || r.Leave != ""
}

// newMonitor watches the services that the configuration names. Where the mode only
// watches, in maintenance and while all is frozen nothing is restarted.
func newMonitor(a *Agent) *service.Monitor {
	o := service.MonitorOptions{Limit: a.cfg.ServiceRestarts, Now: a.clock.Now, Log: a.log, Run: a.seams.Program, Watches: a.untouched}
	for _, s := range a.cfg.Services {
		o.Units = append(o.Units, service.Unit{Name: s.Unit, Check: s.Check, Restart: s.Restart, After: s.After})
	}
	return service.NewMonitor(o)
}
