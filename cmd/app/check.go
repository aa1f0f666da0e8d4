package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/rest"
)

// CheckAgents holds the parameters of every fence agent against what the agent says
// of itself. It contacts nobody but the agents' programs on this machine.
func CheckAgents(cfg *config.Controller) error {
	makes := newMethod()
	var errs []error
	for _, h := range cfg.Hosts {
		for _, b := range h.BMC {
			if b.Method != config.MethodCommand && b.Method != config.MethodPDU {
				continue
			}
			if _, err := makes(h.Name, b, clock.System().Now); err != nil {
				errs = append(errs, fmt.Errorf("host %s: %s: %w", h.Name, b.Method, err))
			}
		}
	}
	if cfg.StorageFence.Program != "" {
		if _, err := newStorage(cfg.StorageFence); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// CheckOnline compares a controller's file with the world: every host must be a
// nova-compute, every nova-compute should be a host, every BMC must tell its
// power. It only reads.
func CheckOnline(ctx context.Context, cfg *config.Controller, out io.Writer) error {
	clk := clock.System()
	c := newCloud(cfg.Nova, false, clk.Now, slog.New(slog.DiscardHandler))
	defer func() { _ = c.close() }()
	cl, err := c.connected(ctx)
	if err != nil {
		return fmt.Errorf("reach Nova: %w", err)
	}
	services, _, err := cl.Services(ctx)
	if err != nil {
		return fmt.Errorf("list Nova's services: %w", err)
	}
	known := map[nova.HostName]bool{}
	for _, s := range services {
		known[s.Host] = true
	}
	var errs []error
	configured := map[nova.HostName]bool{}
	for _, h := range cfg.Hosts {
		configured[nova.HostName(h.Name)] = true
		if !known[nova.HostName(h.Name)] {
			errs = append(errs, fmt.Errorf("host %s: Nova knows no nova-compute of this name: use the name that `openstack compute service list` prints", h.Name))
		}
	}
	for h := range known {
		if !configured[h] {
			fmt.Fprintf(out, "warning: nova-compute %s is not among `hosts`: it will not be recovered\n", h)
		}
	}
	if err := remark(ctx, cl, cfg, known, out); err != nil {
		errs = append(errs, err)
	}
	p, err := newPowers(cfg.Hosts, clk, newMethod())
	if err != nil {
		return err
	}
	for _, h := range cfg.Hosts {
		rctx, cancel := context.WithTimeout(ctx, fence.CallTimeout)
		r := p.Read(rctx, h.Name)
		cancel()
		if r.Power == fence.Unknown {
			errs = append(errs, fmt.Errorf("host %s: its BMC does not tell the power: %s %s", h.Name, r.Cause, r.Raw))
		}
	}
	return errors.Join(errs...)
}

// unmovableShown is how many instances of one host are listed that would be left.
const unmovableShown = 20

// remark warns of what servers' metadata, and their sizes', says to no effect, and of what
// would be left behind.
func remark(ctx context.Context, cl *rest.Client, cfg *config.Controller, known map[nova.HostName]bool, out io.Writer) error {
	policy := policyOf(cfg.Policy, cfg.Kdump, cfg.Fencing)
	own := map[nova.HostName]evacuate.Storage{}
	for _, h := range cfg.Hosts {
		if own[nova.HostName(h.Name)] = evacuate.Storage(h.Storage); h.Unsaid {
			own[nova.HostName(h.Name)] = ""
		}
	}
	aggregates, err := cl.Aggregates(ctx)
	if err != nil {
		fmt.Fprintf(out, "warning: what Nova's aggregates declare is not known: %v\n", err)
	}
	storage := evacuate.Storages(own, evacuate.Storage(cfg.Policy.Storage), aggregates)
	var all []nova.Server
	for _, h := range cfg.Hosts {
		if !known[nova.HostName(h.Name)] {
			continue
		}
		servers, err := cl.Servers(ctx, nova.HostName(h.Name))
		if err != nil {
			return fmt.Errorf("list the servers of %s: %w", h.Name, err)
		}
		for _, r := range evacuate.Remarks(servers, policy) {
			fmt.Fprintf(out, "warning: %s: %s\n", h.Name, r)
		}
		if own[nova.HostName(h.Name)] == "" && storage[nova.HostName(h.Name)] == evacuate.StorageReimage {
			fmt.Fprintf(out, "warning: %s: its storage is reimage: what its instances have written is lost if it dies\n", h.Name)
		}
		stay := evacuate.Unmovable(servers, storage[nova.HostName(h.Name)], aggregates, policy)
		for _, s := range stay[:min(len(stay), unmovableShown)] {
			fmt.Fprintf(out, "warning: %s: %s\n", h.Name, s)
		}
		if more := len(stay) - unmovableShown; more > 0 {
			fmt.Fprintf(out, "warning: %s: and %d more: `lifeboat plan %s`\n", h.Name, more, h.Name)
		}
		all = append(all, servers...)
	}
	for _, group := range evacuate.Circles(all, policy) {
		fmt.Fprintf(out, "warning: the group %s (project/group) waits for itself by lifeboat:after: its members are moved without an order\n", group)
	}
	return nil
}
