// Package fencetest has what tests of fencing need: a machine, a Redfish BMC that
// behaves as badly as it is told, and the contract that every method passes.
package fencetest

import "sync"

// Machine is the truth that a BMC speaks about: a computer that is on or off.
type Machine struct {
	// UUID and Serial are what its SMBIOS says. Set them first.
	UUID, Serial string

	mu sync.Mutex
	on bool
	// OnPower is called at each change, before the BMC answers. Set it first.
	OnPower func(on bool)
}

// NewMachine gives a machine.
func NewMachine(on bool) *Machine { return &Machine{on: on} }

// On says whether it runs.
func (m *Machine) On() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.on
}

// Power turns it on or off, as a BMC, a button or a broken supply does.
func (m *Machine) Power(on bool) {
	m.mu.Lock()
	changed := m.on != on
	m.on = on
	m.mu.Unlock()
	if changed && m.OnPower != nil {
		m.OnPower(on)
	}
}
