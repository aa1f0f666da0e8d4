package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// pathsOf are the hosts that do not reach all, for the ledger, and how many there are. Of
// a host that tells nothing now, what it told last stands.
func pathsOf(m vip.Matrix, before []evacuate.VIPPath) (paths []evacuate.VIPPath, all int) {
	for _, h := range m.Hosts {
		if h.Fresh && len(h.Fails) > 0 {
			paths = append(paths, pathOf(m, h))
		}
	}
	for _, p := range before {
		if !slices.ContainsFunc(m.Hosts, func(h vip.HostPath) bool { return h.Host == p.Host && h.Fresh }) {
			paths = append(paths, evacuate.VIPPath{Host: p.Host, Fails: p.Fails})
		}
	}
	slices.SortFunc(paths, func(a, b evacuate.VIPPath) int { return strings.Compare(string(a.Host), string(b.Host)) })
	return paths[:min(len(paths), evacuate.MostPaths)], len(paths)
}

func pathOf(m vip.Matrix, h vip.HostPath) evacuate.VIPPath {
	p := evacuate.VIPPath{Host: h.Host}
	for i, w := range h.Words {
		if t := m.Targets[i]; w != detector.PathOK && slices.Contains(h.Fails, t.Service) {
			p.Fails = append(p.Fails, fmt.Sprintf("%s at %s (%s)", t.Service, t.Address, w))
		}
	}
	return p
}
