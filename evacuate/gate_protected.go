package evacuate

import "fmt"

func askProtected(q question) (Standing, string) {
	if _, ok := q.world.Nova.Services[q.host]; !ok {
		return Held, "Nova knows no nova-compute of this name"
	}
	n := len(q.world.Servers[q.host])
	if h := q.state.Hosts[q.host]; n == 0 && h != nil {
		n = len(h.Instances)
	}
	if n == 0 {
		return Held, "no instances on it: nothing to save"
	}
	return Met, fmt.Sprintf("%d instances on it", n)
}
