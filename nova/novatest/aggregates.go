package novatest

import (
	"maps"

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
