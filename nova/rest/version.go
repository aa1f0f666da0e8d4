package rest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// microversion is Nova's major.minor; the major is always 2.
type microversion int

func (v microversion) String() string { return "2." + strconv.Itoa(int(v)) }

func parseMicroversion(s string) (microversion, bool) {
	major, minor, ok := strings.Cut(s, ".")
	n, err := strconv.Atoi(minor)
	return microversion(n), ok && err == nil && major == "2"
}

// oldest is Pike: from 2.53 services are addressed by UUID and one PUT carries
// disabled and forced_down together.
const oldest microversion = 53

// zonesPinned is the first that tells a zone that a server was asked for in.
const zonesPinned microversion = 96

// versions is the microversion each call is pinned to. Every number is the
// newest whose behaviour was read (nova/api/openstack/rest_api_version_history.rst);
// an older cloud gets its own newest, a future one that dropped ours its oldest.
type versions struct {
	services    string // 2.69 lists a service in an unreachable cell as UNKNOWN instead of dropping it
	update      string // 2.53 is the last change of PUT os-services
	servers     string // 2.69: the last before 2.73 that changes a list we read; 2.96 shows to which zone a server is pinned
	server      string // 2.71 shows server_groups
	groups      string // 2.64 has one policy instead of a list
	migrations  string // 2.59 pages and has uuid; 2.80 adds project
	actions     string // 2.58 has updated_at
	hypervisors string // 2.53 has UUIDs; 2.88 would ask every (dead) compute for its uptime
	aggregates  string // 2.41 is the last change of the list
	evacuate    string // 2.68 removed force; 2.95 would stop the instance at its new host
	force       string // 2.67 is the last that takes force
	volumes     string // 2.89 has the attachment at Cinder
	ports       string // 2.70 would read tags too
	action      string // start, stop and reset
}

// negotiated gives the pins, asking for the version document the first time.
func (c *Client) negotiated(ctx context.Context) (versions, error) {
	c.mu.Lock()
	known := c.versions
	c.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	const doing = "read Nova's version document"
	var doc struct {
		Version struct {
			Version string `json:"version"`
			Min     string `json:"min_version"`
		} `json:"version"`
	}
	if _, err := c.get(ctx, request{name: "versions", doing: doing, service: "compute", into: &doc}); err != nil {
		return versions{}, err
	}
	newest, ok := parseMicroversion(doc.Version.Version)
	if !ok {
		return versions{}, refuse(doing, fmt.Sprintf("the address answers, but names no microversion (%q): is it Nova's v2.1 API?", doc.Version.Version))
	}
	lowest, _ := parseMicroversion(doc.Version.Min)
	if newest < oldest {
		return versions{}, refuse(doing, fmt.Sprintf("this Nova speaks microversions up to %v; Lifeboat needs %v (Pike) or newer", newest, oldest))
	}
	v := pins(lowest, newest)
	c.mu.Lock()
	c.versions = &v
	c.mu.Unlock()
	return v, nil
}

func pins(lowest, newest microversion) versions {
	pin := func(wish microversion) string { return max(lowest, min(wish, newest)).String() }
	list := pin(69)
	if newest >= zonesPinned {
		list = pin(zonesPinned)
	}
	return versions{
		services: pin(69), update: pin(53), servers: list, server: pin(71), groups: pin(64),
		migrations: pin(80), actions: pin(58), hypervisors: pin(53), aggregates: pin(53), evacuate: pin(68), force: pin(67), volumes: pin(89), ports: pin(53), action: pin(53),
	}
}

// forget makes the next call negotiate again: a 406 says that the API was
// exchanged for one that does not speak our pin.
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.versions = nil
}
