package novatest

import (
	"slices"
	"testing"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// devices: what Nova has attached to an evacuated server is on its list of volumes and its
// list of ports as the server itself names it. A cloud without Cinder, and a server
// without a network, answer with empty lists.
func (h Harness) devices(t *testing.T, server nova.ServerID) {
	s, err := h.API.Server(h.ctx(t), server)
	if err != nil {
		t.Fatal(err)
	}
	volumes, err := h.API.Volumes(h.ctx(t), server)
	if err != nil || len(volumes) != s.Volumes || s.Volumes != len(s.VolumeIDs) {
		t.Errorf("volumes %+v, %v; the server names %v", volumes, err, s.VolumeIDs)
	}
	for _, v := range volumes {
		if !slices.Contains(s.VolumeIDs, v.ID) || v.Told && v.Attachment == "" {
			t.Errorf("a volume reads as %+v; the server names %v", v, s.VolumeIDs)
		}
	}
	ports, err := h.API.Ports(h.ctx(t), server)
	if err != nil || len(ports) < len(s.MACs) {
		t.Errorf("ports %+v, %v; the server names %v", ports, err, s.MACs)
	}
	for _, mac := range s.MACs {
		i := slices.IndexFunc(ports, func(p nova.Port) bool { return p.MAC == mac })
		if i < 0 || ports[i].ID == "" || ports[i].State == "" {
			t.Errorf("no port with %s among %+v", mac, ports)
		}
	}
	const nobody = "11111111-1111-4111-8111-111111111111"
	if _, err := h.API.Volumes(h.ctx(t), nobody); nova.FaultOf(err) != nova.FaultNotFound {
		t.Errorf("volumes of a server that is not there: %v", err)
	}
	if _, err := h.API.Ports(h.ctx(t), nobody); nova.FaultOf(err) != nova.FaultNotFound {
		t.Errorf("ports of a server that is not there: %v", err)
	}
}
