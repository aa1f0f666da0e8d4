package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Draft lists the compute hosts that Nova knows and a controller's file does not, with
// the address by which Nova knows them, and says what else differs. It only reads.
func Draft(ctx context.Context, cfg *config.Controller, all bool) (hosts []config.Host, notes []string, err error) {
	c := newCloud(cfg.Nova, false, clock.System().Now, slog.New(slog.DiscardHandler))
	return draft(ctx, c, cfg, all)
}

func draft(ctx context.Context, c *cloud, cfg *config.Controller, all bool) (hosts []config.Host, notes []string, err error) {
	defer func() { _ = c.close() }()
	cl, err := c.connected(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("reach Nova: %w", err)
	}
	nodes, err := cl.Hypervisors(ctx)
	if err != nil {
		return nil, nil, err
	}
	byHost := map[nova.HostName][]nova.Hypervisor{}
	for _, n := range nodes {
		byHost[n.Host] = append(byHost[n.Host], n)
	}
	known := map[nova.HostName]config.Host{}
	for _, h := range cfg.Hosts {
		known[nova.HostName(h.Name)] = h
		if len(byHost[nova.HostName(h.Name)]) == 0 {
			notes = append(notes, fmt.Sprintf("%s is among `hosts`, and Nova knows no such nova-compute", h.Name))
		}
	}
	for name, nodes := range byHost {
		h, there := known[name]
		if there && !all {
			continue
		}
		if len(nodes) > 1 { // ironic: each node is somebody's machine
			notes = append(notes, fmt.Sprintf("%s is left out: it manages %d nodes, it is no hypervisor", name, len(nodes)))
			continue
		}
		if !there {
			h = config.Host{Name: string(name)}
			if a, err := netip.ParseAddr(nodes[0].Address); err == nil && !a.IsLoopback() {
				h.Addresses = map[string]netip.Addr{"management": a}
			} else {
				notes = append(notes, fmt.Sprintf("%s: Nova knows no address of it that others could ask (%q)", name, nodes[0].Address))
			}
		}
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, func(a, b config.Host) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(notes)
	return hosts, notes, nil
}
