package rest

import (
	"context"
	"encoding/json"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// pageSize is below the default cap of [api]max_limit (1000) and keeps one
	// page of details within a few seconds of nova-api's time.
	pageSize = 500
	// maxRelists is how often a listing starts again because the server that
	// marked a page was deleted meanwhile.
	maxRelists = 3
)

// server is a row of servers/detail.
type server struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Project    string            `json:"tenant_id"`
	Status     string            `json:"status"`
	Metadata   map[string]string `json:"metadata"`
	Locked     bool              `json:"locked"`
	Image      json.RawMessage   `json:"image"` // "" when it boots from a volume
	Groups     []string          `json:"server_groups"`
	Host       attribute         `json:"OS-EXT-SRV-ATTR:host"`
	Node       string            `json:"OS-EXT-SRV-ATTR:hypervisor_hostname"`
	VMState    string            `json:"OS-EXT-STS:vm_state"`
	TaskState  string            `json:"OS-EXT-STS:task_state"`
	PowerState int               `json:"OS-EXT-STS:power_state"`
	Zone       string            `json:"OS-EXT-AZ:availability_zone"`
	Pinned     string            `json:"pinned_availability_zone"` // from 2.96 on; null: to none
	LaunchedAt stamp             `json:"OS-SRV-USG:launched_at"`
	Volumes    []struct {
		ID string `json:"id"`
	} `json:"os-extended-volumes:volumes_attached"`
	Flavor struct {
		Name  string            `json:"original_name"`
		RAM   int               `json:"ram"`
		VCPUs int               `json:"vcpus"`
		Disk  count             `json:"disk"` // GiB of the root disk
		More  count             `json:"ephemeral"`
		Swap  count             `json:"swap"`        // MiB
		Extra map[string]string `json:"extra_specs"` // from 2.47 on, if policy lets us see it
	} `json:"flavor"`
	Addresses map[string][]struct {
		Addr string `json:"addr"`
		Type string `json:"OS-EXT-IPS:type"`
		MAC  string `json:"OS-EXT-IPS-MAC:mac_addr"`
	} `json:"addresses"`
	Fault struct {
		Message string `json:"message"`
		Code    int    `json:"code"`
		Details string `json:"details"`
		Created stamp  `json:"created"`
	} `json:"fault"`
}

func (s server) word() nova.Server {
	w := nova.Server{
		ID: nova.ServerID(s.ID), Name: s.Name, Host: nova.HostName(s.Host.value), Project: s.Project, Status: s.Status,
		VMState: strings.ToLower(s.VMState), TaskState: strings.ToLower(s.TaskState), PowerState: s.PowerState,
		LaunchedAt: s.LaunchedAt.Time, Locked: s.Locked, Volumes: len(s.Volumes),
		RAMMiB: s.Flavor.RAM, VCPUs: s.Flavor.VCPUs, Flavor: s.Flavor.Name, FlavorExtra: s.Flavor.Extra,
		Metadata: s.Metadata, Fault: s.Fault.Message, Groups: s.Groups, Zone: s.Zone, Pinned: s.Pinned, Node: s.Node,
		VolumeBooted: string(s.Image) == `""`, FaultCode: s.Fault.Code, FaultTrace: s.Fault.Details,
		FaultAt: s.Fault.Created.Time, EphemeralGiB: int(s.Flavor.More),
	}
	w.DiskGiB = int(s.Flavor.More) + (int(s.Flavor.Swap)+1023)/1024
	if !w.VolumeBooted {
		w.DiskGiB += int(s.Flavor.Disk)
	}
	w.Addresses, w.MACs = s.addresses(), s.macs()
	for _, v := range s.Volumes {
		w.VolumeIDs = append(w.VolumeIDs, v.ID)
	}
	var image struct{ ID string }
	if json.Unmarshal(s.Image, &image) == nil {
		w.Image = image.ID
	}
	return w
}

func (s server) addresses() (all []netip.Addr) {
	for _, network := range slices.Sorted(maps.Keys(s.Addresses)) {
		for _, a := range s.Addresses[network] {
			ip, err := netip.ParseAddr(a.Addr)
			switch {
			case err != nil:
			case a.Type == "floating":
				all = slices.Insert(all, 0, ip)
			default:
				all = append(all, ip)
			}
		}
	}
	return all
}

// macs are those of its ports, once each.
func (s server) macs() (all []string) {
	for _, addresses := range s.Addresses {
		for _, a := range addresses {
			if a.MAC != "" {
				all = append(all, strings.ToLower(a.MAC))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Servers lists every server of a host, of all projects. It refuses to answer
// rather than to answer wrongly: Nova drops the host filter in silence for an
// account that may not use it (servers.py, remove_invalid_options), and skips
// the servers of a cell that it cannot reach.
func (c *Client) Servers(ctx context.Context, host nova.HostName) ([]nova.Server, error) {
	doing := "list the servers of " + string(host)
	if host == "" {
		return nil, refuse(doing, "no host named")
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	rows, err := c.listServers(ctx, doing, url.Values{"host": {string(host)}})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, c.proveEmpty(ctx, doing, host)
	}
	groups := c.groupsOf(ctx)
	list := make([]nova.Server, 0, len(rows))
	for _, s := range rows {
		if s.Host.value != string(host) {
			return nil, refuse(doing, "filter dropped: the account lacks the admin policy to list servers by host (server "+s.ID+" is not of this host)")
		}
		w := s.word()
		c.grouped(&w, groups[w.ID])
		list = append(list, w)
	}
	c.imagesOf(ctx, list)
	return list, nil
}

// grouped notes a server's groups and what they ask for.
func (c *Client) grouped(w *nova.Server, groups []string) {
	if w.Groups = groups; len(groups) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range groups {
		switch c.policies[g] {
		case nova.PolicyAntiAffinity:
			w.Apart = append(w.Apart, g)
		case nova.PolicyAffinity:
			w.Together = append(w.Together, g)
		}
	}
}

// proveEmpty tells a host without servers from one whose cell is unreachable:
// a filtered list of servers leaves the latter's rows out without a word, but
// os-services marks the host.
func (c *Client) proveEmpty(ctx context.Context, doing string, host nova.HostName) error {
	s, err := c.Service(ctx, host)
	if err != nil {
		return err
	}
	if s.State == nova.StateUnknown {
		return unknown(doing, "the list is empty, but the cell of this host cannot be reached")
	}
	return nil
}

// ServersSince lists servers of all projects that Nova changed since then, one page of
// them and none that is deleted. Whoever is not among them may still have changed:
// those of a cell that Nova cannot reach are missing, and so is a second page.
func (c *Client) ServersSince(ctx context.Context, since time.Time) ([]nova.Server, error) {
	const doing = "list the servers that changed"
	v, err := c.negotiated(ctx)
	if err != nil {
		return nil, err
	}
	filter := url.Values{"all_tenants": {"1"}, "limit": {strconv.Itoa(pageSize)}, "changes-since": {since.UTC().Format(time.RFC3339)}}
	var page struct {
		Servers []server `json:"servers"`
	}
	_, err = c.get(ctx, request{
		name: "servers", doing: doing, service: "compute", version: v.servers,
		path: "servers/detail?" + filter.Encode(), into: &page,
	})
	if err != nil {
		return nil, err
	}
	out := make([]nova.Server, 0, len(page.Servers))
	for _, s := range page.Servers {
		if s.Host.shown && s.VMState != "" && s.Status != "DELETED" {
			out = append(out, s.word())
		}
	}
	return out, nil
}

// AllServersByHost lists the ids of all servers of the cloud by their host, in
// one paged listing. A host that Nova knows and that has no servers maps to an
// empty list; one whose cell cannot be reached is missing, for nothing is known
// of it. Servers without a host are left out.
func (c *Client) AllServersByHost(ctx context.Context) (map[nova.HostName][]nova.ServerID, error) {
	const doing = "list all servers by host"
	ctx, cancel := c.bound(ctx)
	defer cancel()
	rows, err := c.listServers(ctx, doing, url.Values{})
	if err != nil {
		return nil, err
	}
	byHost := map[nova.HostName][]nova.ServerID{}
	services, _, err := c.Services(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range services {
		if s.State != nova.StateUnknown {
			byHost[s.Host] = []nova.ServerID{}
		}
	}
	for _, s := range rows {
		switch {
		case !s.Host.shown:
			return nil, refuse(doing, "hosts hidden: the account lacks the admin policy to see a server's host")
		case s.Host.value != "":
			byHost[nova.HostName(s.Host.value)] = append(byHost[nova.HostName(s.Host.value)], nova.ServerID(s.ID))
		}
	}
	c.groupsOf(ctx) // kept warm, so that an incident finds them
	return byHost, nil
}

// listServers pages by marker. A marker that was deleted meanwhile makes Nova
// answer 400; the listing then begins again.
func (c *Client) listServers(ctx context.Context, doing string, filter url.Values) ([]server, error) {
	v, err := c.negotiated(ctx)
	if err != nil {
		return nil, err
	}
	filter.Set("all_tenants", "1")
	filter.Set("limit", strconv.Itoa(pageSize))
	for try := 1; ; try++ {
		rows, err := c.pageServers(ctx, doing, v.servers, filter)
		if e := fault(err); e != nil && e.Status == 400 && strings.Contains(e.Error(), "marker") && try < maxRelists {
			filter.Del("marker")
			continue
		}
		return rows, err
	}
}

func (c *Client) pageServers(ctx context.Context, doing, version string, filter url.Values) ([]server, error) {
	var rows []server
	seen := map[string]bool{}
	for {
		var page struct {
			Servers *[]server `json:"servers"`
			Links   []link    `json:"servers_links"`
		}
		_, err := c.get(ctx, request{
			name: "servers", doing: doing, service: "compute", version: version,
			path: "servers/detail?" + filter.Encode(), into: &page,
		})
		if err != nil {
			return nil, err
		}
		if page.Servers == nil {
			return nil, unknown(doing, "the answer holds no list of servers")
		}
		fresh := 0
		for _, s := range *page.Servers {
			if !seen[s.ID] {
				seen[s.ID], fresh = true, fresh+1
				rows = append(rows, s)
			}
		}
		if !hasNext(page.Links) {
			return rows, nil
		}
		if fresh == 0 {
			return nil, unknown(doing, "Nova repeats the same page")
		}
		filter.Set("marker", rows[len(rows)-1].ID)
	}
}

// Server reads one server. A row without a state comes from a cell that Nova
// cannot reach and tells nothing.
func (c *Client) Server(ctx context.Context, id nova.ServerID) (nova.Server, error) {
	doing := "read server " + string(id)
	v, err := c.negotiated(ctx)
	if err != nil {
		return nova.Server{}, err
	}
	var reply struct {
		Server server `json:"server"`
	}
	_, err = c.get(ctx, request{
		name: "server", doing: doing, service: "compute", version: v.server,
		path: "servers/" + url.PathEscape(string(id)), into: &reply,
	})
	switch {
	case err != nil:
		return nova.Server{}, err
	case reply.Server.ID != string(id):
		return nova.Server{}, unknown(doing, "Nova answered with another server")
	case reply.Server.VMState == "" && reply.Server.Status == "UNKNOWN":
		return nova.Server{}, unknown(doing, "the cell of this server cannot be reached")
	case !reply.Server.Host.shown:
		return nova.Server{}, refuse(doing, "host hidden: the account lacks the admin policy to see a server's host")
	}
	return reply.Server.word(), nil
}
