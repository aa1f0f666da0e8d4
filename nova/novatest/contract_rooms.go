package novatest

import (
	"slices"
	"testing"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// What the contract provides below a host.
const (
	contractTrait = "CUSTOM_LIFEBOAT_CONTRACT"
	contractClass = "CUSTOM_LIFEBOAT_DEVICE"
)

// nested: the traits of a host, and what stands below it in Placement, come with what is
// left on it, and change nothing of its room; no other host has them.
func (h Harness) nested(t *testing.T) {
	host, other := h.Others[0], h.Source
	before := h.rooms(t)
	for _, name := range append([]nova.HostName{h.Source}, h.Others...) {
		if r := before[name]; !r.Has("COMPUTE_NODE") || !slices.Contains(r.Own, "COMPUTE_NODE") {
			t.Errorf("%s has not the trait that every compute node has: %v", name, r.Own)
		}
	}
	h.Provide(t, host, contractTrait, contractClass, 3)
	after := h.rooms(t)
	if r := after[host]; r.Classes[contractClass] != before[host].Classes[contractClass]+3 || !r.Has(contractTrait) || slices.Contains(r.Own, contractTrait) || r.Left != before[host].Left {
		t.Errorf("%s: %+v, before %+v", host, r, before[host])
	}
	if r := after[other]; r.Has(contractTrait) || r.Classes[contractClass] != 0 {
		t.Errorf("%s, which has none: %+v", other, r)
	}
}

func (h Harness) rooms(t *testing.T) map[nova.HostName]nova.Room {
	t.Helper()
	rooms, err := h.API.Rooms(h.ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	return rooms
}
