package config

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Words of policy.matrix. FenceRunningGuests is for the tenant network alone: who
// wants a host fenced whose guests still reach their disks must say so.
const (
	Fence              = "fence"
	FenceRunningGuests = "fence-running-guests"
)

var meanings = []string{Fence, "repair", "report", "ignore"}

// combination is a set of networks in the order of management, storage, tenant.
func combination(key string) (ordered string, known bool) {
	names := strings.Split(key, "+")
	var in []string
	for _, n := range networks {
		if slices.Contains(names, n) {
			in = append(in, n)
		}
	}
	return strings.Join(in, "+"), len(in) == len(names)
}

// checkMatrix refuses what would fence hosts that live by accident.
func (c *Controller) checkMatrix(d *decoder) {
	d.between("policy.isolated_for", c.Policy.IsolatedFor, 10*time.Second, time.Hour)
	for _, k := range slices.Sorted(maps.Keys(c.Policy.Matrix)) {
		at, word := key("policy.matrix", k), c.Policy.Matrix[k]
		ordered, known := combination(k)
		switch {
		case d.faulty(at):
		case !known:
			d.fault(at, "%q are no networks: join management, storage and tenant by +, such as storage+tenant", k)
		case ordered != k:
			d.fault(at, "write %s, in this order", ordered)
		case word == FenceRunningGuests && k != "tenant":
			d.fault(at, "%s is the word for tenant alone: write fence", word)
		case word == FenceRunningGuests:
		case k == "management+storage+tenant" && word != Fence && word != "report":
			d.fault(at, "%q: a host that is silent on all networks is fenced or reported", word)
		case word == Fence && k == "tenant":
			d.fault(at, "its guests run and reach their disks: write report, or %s if you really mean it", FenceRunningGuests)
		case word == Fence && strings.HasPrefix(k, "management") && k != "management+storage+tenant":
			d.fault(at, "a host that answers on another network is never fenced for silence: write report")
		default:
			d.oneOf(at, word, meanings)
		}
	}
}
