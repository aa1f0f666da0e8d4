package vip

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ParseStats reads what HAProxy's `show stat` answers: CSV whose first line names the
// columns behind "# " (management guide of HAProxy, 9.1). A backend is down where it
// says so itself: none of its servers is up.
func ParseStats(text string) (Proxy, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(strings.TrimSpace(text), "# ")))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		return Proxy{}, fmt.Errorf("read HAProxy's statistics: %w", err)
	}
	if len(rows) == 0 {
		return Proxy{}, errors.New("read HAProxy's statistics: nothing")
	}
	name, kind, status := slices.Index(rows[0], "pxname"), slices.Index(rows[0], "svname"), slices.Index(rows[0], "status")
	if name < 0 || kind < 0 || status < 0 {
		return Proxy{}, errors.New("read HAProxy's statistics: no columns pxname, svname and status")
	}
	var p Proxy
	servers := map[string]bool{}
	for _, row := range rows[1:] {
		if len(row) > max(name, kind, status) && row[kind] != "BACKEND" && row[kind] != "FRONTEND" {
			servers[row[name]] = true
		}
	}
	for _, row := range rows[1:] {
		if len(row) <= max(name, kind, status) || row[kind] != "BACKEND" || !servers[row[name]] {
			continue
		}
		if strings.HasPrefix(row[status], "DOWN") {
			p.Down = append(p.Down, row[name])
		} else {
			p.Up++
		}
	}
	slices.Sort(p.Down)
	return p, nil
}
