package novatest

import (
	"slices"
	"strconv"
	"time"
)

// migrationFilters is schemas/migrations.py, list_query_params_v280: from 2.59
// on anything else is refused.
var migrationFilters = []string{
	"hidden", "host", "instance_uuid", "source_compute", "status", "migration_type",
	"limit", "marker", "changes-since", "changes-before", "user_id", "project_id",
}

// listMigrations is api/openstack/compute/migrations.py: newest first.
// changes-since compares updated_at, which is null in a fresh row, and null is
// not later than anything.
func (c *Cloud) listMigrations(q query) reply {
	if c.policy.Forbid {
		return forbidden("os_compute_api:os-migrations:index")
	}
	values := q.URL.Query()
	for key := range values {
		if q.version >= 59 && !slices.Contains(migrationFilters, key) {
			return fault(400, "Additional properties are not allowed ('"+key+"' was unexpected)")
		}
	}
	since, _ := time.Parse(time.RFC3339, values.Get("changes-since"))
	var list []*migration
	for i := len(c.migrations) - 1; i >= 0; i-- {
		m := c.migrations[i]
		if !since.IsZero() && (m.updated.IsZero() || m.updated.Before(since)) {
			continue
		}
		matches := func(key, value string) bool { return !values.Has(key) || values.Get(key) == value }
		if matches("migration_type", m.kind) && matches("status", string(m.status)) && matches("source_compute", m.source) &&
			matches("instance_uuid", m.server) && (!values.Has("host") || m.source == values.Get("host") || m.dest == values.Get("host")) {
			list = append(list, m)
		}
	}
	body := map[string]any{}
	if q.version >= 59 {
		cut, next, ok := page(c, q, list, func(m *migration) string { return m.uuid })
		if !ok {
			return fault(400, "Marker "+values.Get("marker")+" could not be found.")
		}
		list = cut
		links(body, "migrations_links", next)
	}
	rows := []any{}
	for _, m := range list {
		rows = append(rows, c.migrationRow(m, q.version))
	}
	body["migrations"] = rows
	return reply{status: 200, body: body}
}

func (c *Cloud) migrationRow(m *migration, version int) map[string]any {
	row := map[string]any{
		"id": m.id, "instance_uuid": m.server, "migration_type": m.kind, "status": m.status,
		"source_compute": orNull(m.source), "source_node": orNull(m.source), "dest_compute": orNull(m.dest), "dest_node": orNull(m.dest),
		"dest_host": nil, "created_at": nullTime(m.created), "updated_at": nullTime(m.updated),
		"old_instance_type_id": 1, "new_instance_type_id": 1,
	}
	if version >= 59 {
		row["uuid"] = m.uuid
	}
	if c.policy.HideHosts {
		row["source_compute"], row["source_node"], row["dest_compute"], row["dest_node"] = nil, nil, nil, nil
	}
	return row
}

// listGroups is server_groups.py: paged by offset.
func (c *Cloud) listGroups(q query) reply {
	offset, _ := strconv.Atoi(q.URL.Query().Get("offset"))
	limit, err := strconv.Atoi(q.URL.Query().Get("limit"))
	if err != nil || limit > c.opts.MaxLimit {
		limit = c.opts.MaxLimit
	}
	rows := []any{}
	for i, g := range c.groups {
		if i < offset || len(rows) >= limit {
			continue
		}
		row := map[string]any{"id": g.id, "name": g.name, "members": slices.Clone(g.members), "project_id": uuid("ad", 2)}
		if q.version >= 64 {
			row["policy"] = g.policy
		} else {
			row["policies"] = []string{g.policy}
		}
		if g.members == nil {
			row["members"] = []string{}
		}
		rows = append(rows, row)
	}
	return reply{status: 200, body: map[string]any{"server_groups": rows}}
}
