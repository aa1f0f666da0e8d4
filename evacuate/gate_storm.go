package evacuate

import (
	"fmt"
	"strings"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// askStorm counts every host that is silent without having been judged
// harmless: a rack does not die in one tick, and its first host must not be
// fenced before the others are judged.
func askStorm(q question) (Standing, string) {
	var names []string
	for _, host := range q.state.HostNames() {
		if host == q.host || counts(q, host) {
			names = append(names, string(host))
		}
	}
	limit := q.policy.StormLimit(len(q.state.Hosts))
	if len(names) > limit {
		return Held, fmt.Sprintf("%d hosts are dead, suspect or just fenced (%s), more than %d of %d: is it they or we?",
			len(names), list(names), limit, len(q.state.Hosts))
	}
	return Met, fmt.Sprintf("%d of %d hosts dead, suspect or just fenced; %d allowed", len(names), len(q.state.Hosts), limit)
}

func counts(q question, host nova.HostName) bool {
	h := q.state.Hosts[host]
	if r := q.state.Open(host); r != nil {
		return r.Status == StatusOpen || recently(q, r)
	}
	for _, r := range q.state.Recoveries {
		if r.Host == host && recently(q, r) {
			return true
		}
	}
	if h.Maintenance {
		return false
	}
	v, judged := q.world.Verdicts[host]
	return !judged || v.Down()
}

func recently(q question, r *Recovery) bool {
	return r.Proof != nil && q.world.Now.Sub(r.Proof.Commanded) < q.policy.StormWindow
}

func list(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
