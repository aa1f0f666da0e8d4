package novatest

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// SetAggregates replaces all host aggregates.
func (c *Cloud) SetAggregates(list ...nova.Aggregate) { c.set(func() { c.aggregates = list }) }

// listAggregates is aggregates.py, index: all at once, for administrators.
func (c *Cloud) listAggregates(query) reply {
	if c.policy.Forbid {
		return forbidden("os_compute_api:os-aggregates:index")
	}
	rows := []any{}
	for i, a := range c.aggregates {
		metadata := maps.Clone(orEmpty(a.Metadata))
		if a.Zone != "" {
			metadata["availability_zone"] = a.Zone // Nova keeps it there
		}
		hosts := a.Hosts
		if hosts == nil {
			hosts = []nova.HostName{}
		}
		rows = append(rows, map[string]any{"id": i + 1, "uuid": uuid("a9", i+1), "name": a.Name, "availability_zone": orNull(a.Zone),
			"hosts": hosts, "metadata": metadata, "created_at": nullTime(c.now()), "updated_at": nil, "deleted": false, "deleted_at": nil})
	}
	return reply{status: 200, body: map[string]any{"aggregates": rows}}
}

// AddImage adds an image with properties.
func (c *Cloud) AddImage(properties map[string]string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := uuid("1b", c.nextID("image")+1)
	c.images[id] = properties
	return id
}

// DeleteImage removes an image; servers of it live on.
func (c *Cloud) DeleteImage(id string) { c.set(func() { delete(c.images, id) }) }

// showImage is Glance's v2: properties stand beside its own attributes.
func (c *Cloud) showImage(q query) reply {
	id := q.PathValue("id")
	properties, ok := c.images[id]
	if !ok {
		return reply{status: 404, body: map[string]any{"message": "No image found with ID " + id}}
	}
	row := map[string]any{"id": id, "name": "image", "status": "active", "size": 1 << 30, "protected": false, "tags": []string{}, "owner_specified.note": nil}
	for k, v := range properties {
		row[k] = v
	}
	return reply{status: 200, body: row}
}

// changeAggregate is aggregates.py, _add_host and _remove_host, and what compute/api.py
// refuses for the sake of zones.
func (c *Cloud) changeAggregate(q query) reply {
	if c.policy.Forbid {
		return forbidden("os_compute_api:os-aggregates:add_host")
	}
	var body struct {
		Add    *struct{ Host string } `json:"add_host"`
		Remove *struct{ Host string } `json:"remove_host"`
	}
	n, err := strconv.Atoi(q.PathValue("id"))
	if err != nil || n < 1 || n > len(c.aggregates) {
		return fault(404, "Aggregate "+q.PathValue("id")+" could not be found.")
	}
	if json.Unmarshal(q.body, &body) != nil || (body.Add == nil) == (body.Remove == nil) {
		return fault(400, "Invalid input for field/attribute body.")
	}
	a := &c.aggregates[n-1]
	name := cmp.Or(body.Add, body.Remove).Host
	h, in := c.host(name), slices.Contains(a.Hosts, nova.HostName(name))
	switch {
	case h == nil || h.deleted:
		return fault(404, "Compute host "+name+" could not be found.")
	case body.Remove != nil && !in:
		return fault(404, "Aggregate "+a.Name+" has no host "+name+".")
	case body.Remove != nil:
		a.Hosts = slices.DeleteFunc(slices.Clone(a.Hosts), func(n nova.HostName) bool { return string(n) == name })
		if a.Zone != "" {
			h.zone = "nova"
		}
	case in:
		return fault(409, "Cannot add host "+name+" in aggregate "+a.Name+": host already in it")
	case a.Zone != "" && c.zoned(name) != "" && c.zoned(name) != a.Zone:
		return fault(409, "Cannot add host to aggregate "+a.Name+". Reason: One or more hosts already in availability zone(s) "+c.zoned(name)+".")
	default:
		a.Hosts = append(slices.Clone(a.Hosts), nova.HostName(name))
		if a.Zone != "" {
			h.zone = a.Zone
		}
	}
	return reply{status: 200, body: map[string]any{"aggregate": map[string]any{"id": n, "name": a.Name, "hosts": a.Hosts}}}
}

// zoned is the zone that an aggregate puts a host into, "" if none does.
func (c *Cloud) zoned(name string) string {
	for _, a := range c.aggregates {
		if a.Zone != "" && slices.Contains(a.Hosts, nova.HostName(name)) {
			return a.Zone
		}
	}
	return ""
}
