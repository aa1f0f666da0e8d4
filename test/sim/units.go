package sim

import (
	"context"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
)

// The units that agents watch where the setup says so.
const (
	unitNeutron = "neutron-agent.service"
	unitCompute = "nova-compute.service"
)

// services is what they add to an agent's file.
func (s Setup) services() string {
	if s.Services {
		return "services: [{unit: " + unitNeutron + "}, {unit: " + unitCompute + ", after: " + unitNeutron + "}]\n"
	}
	return ""
}

func (m *machine) units(s app.Seams) app.Seams {
	if m.cloud.setup.Services {
		s.Program = m.systemctl
	}
	return s
}

// systemctl is the machine's systemd: what has died fails again at once.
func (m *machine) systemctl(_ context.Context, argv []string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	state := "active"
	if unit := argv[len(argv)-1]; unit == unitNeutron && m.netless || unit == unitCompute && m.idle {
		state = "failed"
	}
	return "LoadState=loaded\nActiveState=" + state + "\nSubState=\nResult=exit-code\n", nil
}

// neutron starts the Neutron agent, or has it die.
func (m *machine) neutron(runs bool) {
	m.mu.Lock()
	m.netless = !runs
	m.mu.Unlock()
}
