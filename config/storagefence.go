package config

import (
	"maps"
	"slices"
	"time"
)

// StorageFence is the operator's program that takes a host's storage away and gives it
// back. What it must keep to stands in docs/fencing.md.
type StorageFence struct {
	// Program is its whole path; none: there is no such program.
	Program string `yaml:"program,omitempty"`
	// Parameters and Secrets are given to it, as lines on its standard input.
	Parameters map[string]string `yaml:"parameters,omitempty"`
	Secrets    map[string]Secret `yaml:"secrets,omitempty"`
	// Timeout bounds one call of it.
	Timeout time.Duration `yaml:"timeout,omitempty"`
}

// storageTimeout leaves time, within the step's minute, for the call and for the
// questions after it.
const storageTimeout = 20 * time.Second

func (c *Controller) checkStorageFence(d *decoder) {
	s := &c.StorageFence
	switch {
	case s.Program == "" && (len(s.Parameters) > 0 || len(s.Secrets) > 0 || s.Timeout != 0):
		d.fault("storage_fence.program", "missing: give the program's whole path")
	case s.Program != "":
		d.absolute("storage_fence.program", s.Program)
		fill(&s.Timeout, storageTimeout)
		d.between("storage_fence.timeout", s.Timeout, time.Second, 25*time.Second)
	}
	for i, h := range c.Hosts {
		if h.KeepsStorage && s.Program == "" {
			d.fault(key(item("hosts", i), "keeps_storage"), "there is no storage_fence.program that would take it away: remove this")
		}
	}
}

// loadStorageFence reads its secrets and looks at its program.
func (c *Controller) loadStorageFence(by *commands, check func(path string, err error)) {
	s := &c.StorageFence
	if s.Program == "" {
		return
	}
	check("storage_fence.program", trusted(s.Program))
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		secret := s.Secrets[name]
		check(key("storage_fence.secrets", name), secret.load(by))
		s.Secrets[name] = secret
	}
}
