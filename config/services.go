package config

import (
	"path/filepath"
	"regexp"
	"slices"
)

// Service is one of a host's services that its agent watches: a unit of systemd, or
// whatever Check and Restart look at and restart.
type Service struct {
	Unit    string   `yaml:"unit"`
	Check   []string `yaml:"check,omitempty"`
	Restart []string `yaml:"restart,omitempty"`
	// After names another of them that must be active before this one is restarted.
	After string `yaml:"after,omitempty"`
}

// mostServices keeps a heartbeat small.
const mostServices = 6

// unitName is what systemd takes for a unit, and other names.
var unitName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.@-]{0,63}$`)

func (a *Agent) checkServices(d *decoder) {
	const at = "services"
	if len(a.Services) > mostServices {
		d.fault(at, "%d services: at most %d are watched", len(a.Services), mostServices)
	}
	if a.ServiceRestarts < 1 || a.ServiceRestarts > 10 {
		d.fault("service_restarts", "%d: use 1 to 10", a.ServiceRestarts)
	}
	var before []string
	for i, s := range a.Services {
		one := item(at, i)
		switch {
		case !unitName.MatchString(s.Unit):
			d.fault(key(one, "unit"), "%q is no unit of systemd: use a name such as nova-compute.service", s.Unit)
		case slices.Contains(before, s.Unit):
			d.fault(key(one, "unit"), "%s is listed twice: remove one", s.Unit)
		}
		if len(s.Check) > 0 != (len(s.Restart) > 0) {
			d.fault(one, "give both check and restart, or neither: then systemd is asked")
		}
		for _, argv := range [][]string{s.Check, s.Restart} {
			if len(argv) > 0 && !filepath.IsAbs(argv[0]) {
				d.fault(one, "%q is no absolute path", argv[0])
			}
		}
		if s.After != "" && !slices.Contains(before, s.After) {
			d.fault(key(one, "after"), "%s is not listed before it", s.After)
		}
		before = append(before, s.Unit)
	}
}
