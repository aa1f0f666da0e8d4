package novatest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// login issues a token for the one account.
func (c *Cloud) login(q query) reply {
	if c.loginDown {
		return fault(503, "Keystone is down.")
	}
	var doc struct {
		Auth struct {
			Identity struct {
				Password struct {
					User struct{ Name, Password string }
				}
			}
		}
	}
	_ = json.Unmarshal(q.body, &doc)
	if u := doc.Auth.Identity.Password.User; u.Name != User || u.Password != Password {
		return reply{status: 401, body: map[string]any{"error": map[string]any{
			"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication.",
		}}}
	}
	token := fmt.Sprintf("gAAAA-novatest-%d", c.nextID("token"))
	expires := c.apiNow().Add(c.opts.TokenLife)
	c.tokens[token] = c.now().Add(c.opts.TokenLife)
	return reply{status: 201, header: map[string]string{"X-Subject-Token": token}, body: map[string]any{
		"token": map[string]any{
			"methods":    []string{"password"},
			"issued_at":  c.apiNow().Format("2006-01-02T15:04:05.000000Z"),
			"expires_at": expires.Format("2006-01-02T15:04:05.000000Z"),
			"user":       map[string]any{"id": uuid("ad", 1), "name": User, "domain": map[string]any{"id": "default", "name": Domain}},
			"project":    map[string]any{"id": uuid("ad", 2), "name": Project, "domain": map[string]any{"id": "default", "name": Domain}},
			"roles":      []any{map[string]any{"id": uuid("ad", 3), "name": "admin"}},
			"catalog": []any{
				c.catalogEntry("identity", "/identity/v3"),
				c.catalogEntry("compute", "/compute/v2.1"),
				c.catalogEntry("placement", "/placement"),
				c.catalogEntry("image", "/image"),
				c.catalogEntry("network", "/network"),
				c.catalogEntry("block-storage", "/volume/v3/"+uuid("ad", 2)),
			},
		},
	}}
}

func (c *Cloud) catalogEntry(service, path string) map[string]any {
	var endpoints []any
	for _, kind := range []string{"public", "internal", "admin"} {
		endpoints = append(endpoints, map[string]any{
			"id": service + "-" + kind, "interface": kind, "region": Region, "region_id": Region, "url": c.opts.URL + path,
		})
	}
	return map[string]any{"id": service, "type": service, "name": service, "endpoints": endpoints}
}

func (c *Cloud) versionDocument(query) reply {
	return reply{status: 200, body: map[string]any{"version": map[string]any{
		"id": "v2.1", "status": "CURRENT", "version": c.opts.Version, "min_version": "2.1",
		"updated": "2013-07-23T11:33:21Z", "links": []any{},
	}}}
}

// nullTime is a time as Nova's database columns are shown.
func nullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000")
}

// page cuts a list by marker and limit (api/openstack/common.py). next says
// whether Nova would add a link; ok is false for a marker that is not there.
func page[T any](c *Cloud, q query, list []T, id func(T) string) (cut []T, next, ok bool) {
	limit := c.opts.MaxLimit
	if n, err := strconv.Atoi(q.URL.Query().Get("limit")); err == nil && n < limit {
		limit = n
	}
	if marker := q.URL.Query().Get("marker"); marker != "" {
		for i, item := range list {
			if id(item) == marker {
				list, ok = list[i+1:], true
				break
			}
		}
		if !ok {
			return nil, false, false
		}
	}
	cut = list[:min(limit, len(list))]
	return cut, limit > 0 && len(cut) == limit, true
}

// links points the next page at a host that no client can reach: it is the
// public name, and only its presence may be used.
func links(body map[string]any, name string, next bool) {
	if next {
		body[name] = []any{map[string]any{"rel": "next", "href": "http://vip.invalid/next"}}
	}
}
