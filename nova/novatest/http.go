package novatest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// query is one request to a service, after the token was checked.
type query struct {
	*http.Request
	body    []byte
	version int // the minor of Nova's microversion
	id      string
}

// reply is what a service answers, after having waited.
type reply struct {
	status int
	body   any
	wait   time.Duration
	header map[string]string
}

// fault is an error in Nova's form (api/openstack/wsgi.py, Fault).
func fault(status int, message string) reply {
	names := map[int]string{
		400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound",
		409: "conflictingRequest", 429: "overLimit", 503: "serviceUnavailable",
	}
	name, ok := names[status]
	if !ok {
		name = "computeFault"
	}
	return reply{status: status, body: map[string]any{name: map[string]any{"code": status, "message": message}}}
}

// ServeHTTP answers /identity, /compute, /placement and /image.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.mux.ServeHTTP(w, r) }

type handler func(c *Cloud, q query) reply

func (c *Cloud) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /identity/v3/auth/tokens", c.serve(plainService, (*Cloud).login))
	for route, h := range map[string]handler{
		"GET /{$}":                                (*Cloud).versionDocument,
		"GET /os-services":                        (*Cloud).listServices,
		"PUT /os-services/{id}":                   (*Cloud).updateService,
		"GET /servers/detail":                     (*Cloud).listServers,
		"GET /servers/{id}":                       (*Cloud).showServer,
		"POST /servers/{id}/action":               (*Cloud).serverAction,
		"GET /servers/{id}/os-instance-actions":   (*Cloud).listActions,
		"GET /servers/{id}/os-volume_attachments": (*Cloud).listVolumes,
		"GET /servers/{id}/os-interface":          (*Cloud).listPorts,
		"GET /os-migrations":                      (*Cloud).listMigrations,
		"GET /os-server-groups":                   (*Cloud).listGroups,
		"GET /os-hypervisors/detail":              (*Cloud).listHypervisors,
		"GET /os-aggregates":                      (*Cloud).listAggregates,
		"DELETE /os-services/{id}":                (*Cloud).deleteService,
		"POST /os-aggregates/{id}/action":         (*Cloud).changeAggregate,
	} {
		method, path, _ := strings.Cut(route, " ")
		mux.HandleFunc(method+" /compute/v2.1"+path, c.serve(computeService, h))
	}
	for route, h := range map[string]handler{
		"GET /allocation_candidates":               (*Cloud).candidates,
		"GET /resource_providers":                  (*Cloud).providers,
		"DELETE /resource_providers/{id}":          (*Cloud).deleteProvider,
		"GET /resource_providers/{id}/traits":      (*Cloud).traits,
		"GET /resource_providers/{id}/allocations": (*Cloud).providerAllocations,
		"GET /allocations/{id}":                    (*Cloud).showAllocations,
		"PUT /allocations/{id}":                    (*Cloud).setAllocations,
	} {
		method, path, _ := strings.Cut(route, " ")
		mux.HandleFunc(method+" /placement"+path, c.serve(placementService, h))
	}
	mux.HandleFunc("GET /volume/v3/{project}/os-services", c.serve(volumeService, (*Cloud).listVolumeServices))
	mux.HandleFunc("GET /network/v2.0/agents", c.serve(networkService, (*Cloud).listNetworkAgents))
	mux.HandleFunc("GET /image/v2/images/{id}", c.serve(imageService, (*Cloud).showImage))
	return mux
}

type serviceKind string

const (
	plainService     serviceKind = ""
	computeService   serviceKind = "compute"
	placementService serviceKind = "placement"
	imageService     serviceKind = "image"
	volumeService    serviceKind = "volume"
	networkService   serviceKind = "network"
)

// serve wraps a handler in what every request goes through: the record, the
// injected faults, the token, the microversion, the headers.
func (c *Cloud) serve(kind serviceKind, h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		q := query{Request: r, body: body}
		f := c.arrived(q, kind)
		if f != nil && !f.apply(c, w, r, false) {
			return
		}
		c.mu.Lock()
		out := c.answer(kind, h, &q)
		date := c.apiNow()
		c.mu.Unlock()
		if f != nil && !f.apply(c, w, r, true) {
			return
		}
		c.pause(r, out.wait)
		header := w.Header()
		header.Set("Date", date.Format(http.TimeFormat))
		header.Set("X-Openstack-Request-Id", q.id)
		header.Set("Content-Type", "application/json")
		for k, v := range out.header {
			header.Set(k, v)
		}
		w.WriteHeader(out.status)
		if out.body != nil {
			_ = json.NewEncoder(w).Encode(out.body)
		}
	}
}

// answer runs under the lock.
func (c *Cloud) answer(kind serviceKind, h handler, q *query) reply {
	q.id = c.newRequestID()
	if kind != plainService && !c.tokens[q.Header.Get("X-Auth-Token")].After(c.now()) {
		return reply{status: 401, body: map[string]any{"error": map[string]any{
			"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication.",
		}}}
	}
	if kind == computeService {
		version, out := c.microversion(q)
		if out.status != 0 {
			return out
		}
		q.version = version
	}
	return h(c, *q)
}

// microversion reads OpenStack-API-Version. Without it Nova speaks 2.1.
func (c *Cloud) microversion(q *query) (int, reply) {
	asked, ok := strings.CutPrefix(q.Header.Get("OpenStack-API-Version"), "compute ")
	if !ok {
		return 1, reply{}
	}
	minor, err := strconv.Atoi(strings.TrimPrefix(asked, "2."))
	newest, _ := strconv.Atoi(strings.TrimPrefix(c.opts.Version, "2."))
	if err != nil || minor > newest || minor < 1 {
		return 0, fault(406, "Version "+asked+" is not supported by the API. Minimum is 2.1 and maximum is "+c.opts.Version+".")
	}
	return minor, reply{}
}

// arrived records a request and finds the fault that waits for it.
func (c *Cloud) arrived(q query, kind serviceKind) *Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	path := strings.TrimPrefix(strings.TrimPrefix(q.URL.RequestURI(), "/compute/v2.1"), "/placement")
	body := string(bytes.TrimSpace(q.body))
	if kind == plainService {
		body = ""
	}
	c.record(Request{At: c.now(), Method: q.Method, Path: path, Version: q.Header.Get("OpenStack-API-Version"), Body: body})
	for _, f := range c.faults {
		if f.left != 0 && strings.Contains(q.Method+" "+q.URL.RequestURI()+" "+body, f.Match) {
			f.left--
			return f
		}
	}
	return nil
}

// pause waits. When nobody is left to answer it ends the request.
func (c *Cloud) pause(r *http.Request, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	case <-c.closed:
		panic(http.ErrAbortHandler)
	}
}
