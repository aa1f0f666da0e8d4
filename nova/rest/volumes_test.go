package rest

import (
	"testing"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// TestVolumeServices: the backends that somebody wants to run, by Cinder's own address
// with its project; an account that may not is told so.
func TestVolumeServices(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		w.cloud.SetVolumeServices(nova.ControlService{Binary: "cinder-volume", Host: "ctl1@ceph", State: nova.StateUp}, nova.ControlService{Binary: "cinder-volume", Host: "ctl2@lvm", State: nova.StateDown},
			nova.ControlService{Binary: "cinder-volume", Host: "ctl3@old"}, nova.ControlService{Binary: "cinder-backup", Host: "ctl1", State: nova.StateDown})
		all, err := w.client.VolumeServices(w.Context())
		if err != nil || len(all) != 2 || all[0].Host != "ctl1@ceph" || all[0].State != nova.StateUp || all[1].Host != "ctl2@lvm" || all[1].State != nova.StateDown {
			t.Errorf("%+v, %v", all, err)
		}
		w.cloud.SetPolicy(novatest.Policy{Forbid: true})
		_, err = w.client.VolumeServices(w.Context())
		wantFault(t, err, nova.FaultRefused, "volume_extension")
	})
}
