package rest

import (
	"testing"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// TestNetworkAgents: those that somebody wants to run, by Neutron's own address; an
// account that may not is told so.
func TestNetworkAgents(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		const ovs = "neutron-openvswitch-agent"
		w.cloud.SetNetworkAgents(nova.ControlService{Binary: ovs, Host: "cmp1", State: nova.StateUp}, nova.ControlService{Binary: ovs, Host: "cmp2", State: nova.StateDown},
			nova.ControlService{Binary: ovs, Host: "cmp3"})
		all, err := w.client.NetworkAgents(w.Context())
		if err != nil || len(all) != 2 || all[0].Host != "cmp1" || all[0].State != nova.StateUp || all[1].Host != "cmp2" || all[1].State != nova.StateDown {
			t.Errorf("%+v, %v", all, err)
		}
		w.cloud.SetPolicy(novatest.Policy{Forbid: true})
		_, err = w.client.NetworkAgents(w.Context())
		wantFault(t, err, nova.FaultRefused, "get_agent")
	})
}
