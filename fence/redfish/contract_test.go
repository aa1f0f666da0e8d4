package redfish_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/fence/redfish"
)

const (
	password = "s3cret-word"
	uuid     = "5f2f0f6e-0c0d-4c5b-9a4e-2f6d7f2f0001"
)

// world is a BMC in memory with one system, and the method for it.
func world(t *testing.T, more ...fencetest.System) (*fencetest.Redfish, *fencetest.Machine, *redfish.Method) {
	t.Helper()
	machine := fencetest.NewMachine(true)
	bmc := &fencetest.Redfish{Now: time.Now, Username: "admin", Password: password,
		Systems: append([]fencetest.System{{ID: "1", UUID: uuid, Serial: "serial-1", Machine: machine}}, more...)}
	return bmc, machine, method(t, bmc, password, "")
}

func method(t *testing.T, bmc *fencetest.Redfish, password, system string) *redfish.Method {
	t.Helper()
	m, err := redfish.New(redfish.Options{Address: "https://bmc.example", System: system, Username: "admin", Password: password,
		Client: &http.Client{Transport: bmc.Transport()}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestContract(t *testing.T) {
	for name, knobs := range map[string]fencetest.Knobs{
		"behaves":      {},
		"lags":         {Lag: 1500 * time.Millisecond},
		"transitional": {Lag: 3 * time.Second, Transitional: true},
		"task":         {Task: true, Delay: 300 * time.Millisecond},
		"conflict":     {Conflict: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bmc, machine, m := world(t)
				bmc.Set(func(k *fencetest.Knobs) { *k = knobs })
				fencetest.Contract(t, fencetest.Harness{
					Method: m, Wrong: method(t, bmc, "wr0ng-word", ""), Secrets: []string{password, "wr0ng-word"},
					Clock: fencetest.Clock{}, On: machine.On, Machine: fence.Identity{UUID: uuid, Serial: "serial-1"},
					Set:         func(_ *testing.T, on bool) { machine.Power(on) },
					Unreachable: func(_ *testing.T, b bool) { bmc.Set(func(k *fencetest.Knobs) { k.Unreachable = b }) },
					NotHonoured: func(_ *testing.T, b bool) { bmc.Set(func(k *fencetest.Knobs) { k.NotHonoured = b }) },
					Dumb:        func(_ *testing.T, b bool) { bmc.Set(func(k *fencetest.Knobs) { k.Empty = b }) },
					Run:         func(t *testing.T, name string, f func(*testing.T)) { t.Log(name); f(t) },
				})
			})
		})
	}
}

func timeout(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), fence.CallTimeout)
}
