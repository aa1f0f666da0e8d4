package redfish_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/fence/redfish"
)

func TestOverTLS(t *testing.T) {
	machine := fencetest.NewMachine(true)
	bmc := &fencetest.Redfish{Now: time.Now, Username: "admin", Password: "s3cret-word",
		Systems: []fencetest.System{{ID: "1", UUID: "u-1", Serial: "s-1", Machine: machine}}}
	server := httptest.NewTLSServer(bmc)
	defer server.Close()
	m, err := redfish.New(redfish.Options{Address: server.URL, Username: "admin", Password: "s3cret-word", Insecure: true, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if r := m.Power(t.Context()); r.Power != fence.On || r.Ended.Before(r.Began) {
		t.Fatalf("reading %+v", r)
	}
	if err := m.Off(t.Context()); err != nil || machine.On() {
		t.Fatalf("off: %v, machine on: %v", err, machine.On())
	}
	if r := m.Power(t.Context()); r.Power != fence.Off {
		t.Fatalf("reading %+v", r)
	}
	if uuid, serial, err := m.Identity(t.Context()); uuid != "u-1" || serial != "s-1" || err != nil {
		t.Fatal(uuid, serial, err)
	}
	if err := m.On(t.Context()); err != nil || !machine.On() {
		t.Fatal(err)
	}
}
