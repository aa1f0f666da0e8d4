package rest

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// illFor is how long an endpoint that did not answer is tried last.
const illFor = 15 * time.Second

// endpoints is the addresses of one service in order of preference: the
// node-local API before the VIP, because the VIP is among the things that an
// incident takes away.
type endpoints struct {
	mu   sync.Mutex
	list []string
	ill  map[string]time.Time
}

func newEndpoints(list []string, normal func(string) string) *endpoints {
	e := &endpoints{ill: map[string]time.Time{}}
	for _, a := range list {
		if a = normal(a); !slices.Contains(e.list, a) {
			e.list = append(e.list, a)
		}
	}
	return e
}

// order lists the healthy ones first; nothing is ever left out.
func (e *endpoints) order(now time.Time) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var good, bad []string
	for _, a := range e.list {
		if now.Before(e.ill[a]) {
			bad = append(bad, a)
		} else {
			good = append(good, a)
		}
	}
	return append(good, bad...)
}

func (e *endpoints) answered(a string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.ill, a)
}

func (e *endpoints) failed(a string, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ill[a] = now.Add(illFor)
}

// identityBase makes http://h:5000, …/v3 and …/v2.0 all mean Keystone's v3.
func identityBase(a string) string {
	a = strings.TrimRight(a, "/")
	a = strings.TrimSuffix(strings.TrimSuffix(a, "/v2.0"), "/v3")
	return a + "/v3/"
}

// computeBase makes http://h:8774, …/v2 and …/v2.1/<project> all mean Nova's
// v2.1. The project in the path is optional since microversion 2.18 and is
// dropped, for a node-local address would not know it.
func computeBase(a string) string {
	a = strings.TrimRight(a, "/")
	for _, v := range []string{"/v2.1", "/v2"} {
		if i := strings.LastIndex(a+"/", v+"/"); i >= 0 {
			a = a[:i]
			break
		}
	}
	return a + "/v2.1/"
}

// imageBase makes http://h:9292 and …/v2 both mean Glance's v2.
func imageBase(a string) string {
	return strings.TrimSuffix(strings.TrimRight(a, "/"), "/v2") + "/v2/"
}

func placementBase(a string) string { return strings.TrimRight(a, "/") + "/" }
