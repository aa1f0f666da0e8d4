package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// names are all machines of a setup, and the sets that a scenario may name.
type names struct {
	hosts, voters, bmcs []string
	domains             map[string][]string
}

func (s Setup) names() names {
	n := names{domains: map[string][]string{}}
	per := s.perDomain()
	for i := range s.Hosts {
		h := hostName(i)
		n.hosts = append(n.hosts, h)
		n.bmcs = append(n.bmcs, "bmc-"+h)
		d := fmt.Sprintf("rack%d", i/per+1)
		n.domains[d] = append(n.domains[d], h)
	}
	for i := range s.Controllers {
		n.voters = append(n.voters, voterID(i))
	}
	return n
}

func (s Setup) perDomain() int {
	return max(1, (s.Hosts+s.Domains-1)/max(1, s.Domains))
}

func (n names) all() []string {
	return slices.Concat(n.voters, n.hosts, n.bmcs, []string{"nova"})
}

// resolve gives the machines that an expression names: names, ranges and sets,
// separated by commas. leader is who leads, "" before the cloud runs.
func (n names) resolve(expr, leader string) ([]string, error) {
	var out []string
	for term := range strings.SplitSeq(expr, ",") {
		term = strings.TrimSpace(term)
		if term == "" {
			continue
		}
		got, err := n.term(term, leader)
		if err != nil {
			return nil, err
		}
		for _, g := range got {
			if !slices.Contains(out, g) {
				out = append(out, g)
			}
		}
	}
	return out, nil
}

func (n names) term(term, leader string) ([]string, error) {
	if first, last, ok := strings.Cut(term, "..."); ok {
		i, j := slices.Index(n.hosts, first), slices.Index(n.hosts, last)
		if i < 0 || j < i {
			return nil, fmt.Errorf("%q is no range of hosts: write such as host01...host05", term)
		}
		return n.hosts[i : j+1], nil
	}
	if p, ok := strings.CutSuffix(term, "%"); ok {
		percent, err := strconv.Atoi(p)
		if err != nil || percent < 1 || percent > 100 {
			return nil, fmt.Errorf("%q is no share of the hosts: write 1%% to 100%%", term)
		}
		return n.share(percent), nil
	}
	switch term {
	case "hosts":
		return n.hosts, nil
	case "controllers":
		return n.voters, nil
	case "bmcs":
		return n.bmcs, nil
	case "all":
		return n.all(), nil
	case "nova":
		return []string{term}, nil
	case "leader":
		if leader == "" {
			return nil, nil
		}
		return []string{leader}, nil
	case "followers":
		return slices.DeleteFunc(slices.Clone(n.voters), func(v string) bool { return v == leader }), nil
	}
	if d, ok := n.domains[term]; ok {
		return d, nil
	}
	if slices.Contains(n.all(), term) {
		return []string{term}, nil
	}
	return nil, fmt.Errorf("nothing here is called %q: use a name (host01, ctl1, bmc-host01, nova), host01...host05, rack1, 10%%, hosts, controllers, bmcs, leader, followers or all", term)
}

// share spreads a percentage evenly over the hosts, one at least.
func (n names) share(percent int) []string {
	count := max(1, len(n.hosts)*percent/100)
	var out []string
	for i := range count {
		out = append(out, n.hosts[i*len(n.hosts)/count])
	}
	return out
}

// pick resolves an expression in the running cloud.
func (c *Cloud) pick(expr string) ([]string, error) {
	leader := ""
	if l := c.leader(); l != nil {
		leader = l.ctl.ID()
	}
	return c.setup.names().resolve(expr, leader)
}

func (c *Cloud) voter(id string) *voter {
	for _, v := range c.voters {
		if v.id == id {
			return v
		}
	}
	return nil
}
