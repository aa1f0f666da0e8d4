package rest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// account puts the emulator's account into the environment, and nothing else
// of the developer's own.
func account(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"OS_CLOUD", "OS_CLIENT_CONFIG_FILE", "OS_INTERFACE", "OS_ENDPOINT_TYPE", "OS_CACERT", "OS_PROJECT_ID", "OS_TENANT_ID",
		"OS_SYSTEM_SCOPE", "OS_USER_ID", "OS_USERID", "OS_PASSCODE", "OS_DOMAIN_ID", "OS_DOMAIN_NAME",
		"OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME", "OS_APPLICATION_CREDENTIAL_SECRET",
		"OS_USER_DOMAIN_ID", "OS_PROJECT_DOMAIN_ID", "OS_TENANT_NAME",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("OS_AUTH_URL", "http://nova.test/identity")
	t.Setenv("OS_USERNAME", novatest.User)
	t.Setenv("OS_PASSWORD", novatest.Password)
	t.Setenv("OS_PROJECT_NAME", novatest.Project)
	t.Setenv("OS_USER_DOMAIN_NAME", novatest.Domain)
	t.Setenv("OS_PROJECT_DOMAIN_NAME", novatest.Domain)
	t.Setenv("OS_REGION_NAME", novatest.Region)
}

// connected makes an empty cloud and a client of it.
func connected(t *testing.T, o novatest.Options, change ...func(*Options)) (*novatest.Cloud, *Client) {
	t.Helper()
	account(t)
	o.Now = time.Now
	cloud := novatest.New(o)
	t.Cleanup(cloud.Close)
	options := Options{Now: time.Now, Transport: cloud.Transport()}
	for _, f := range change {
		f(&options)
	}
	client, err := Connect(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return cloud, client
}

// world is one emulated cloud with three hosts, a client, and virtual time.
type world struct {
	*testing.T
	cloud  *novatest.Cloud
	client *Client
}

func in(t *testing.T, o novatest.Options, f func(w world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cloud, client := connected(t, o)
		for _, h := range []nova.HostName{"cmp01", "cmp02", "cmp03"} {
			cloud.AddHost(h)
		}
		f(world{T: t, cloud: cloud, client: client})
	})
}

// kill cuts the power of a host and tells Nova.
func (w world) kill(host nova.HostName) {
	w.Helper()
	w.cloud.PowerOff(host)
	w.update(host, nova.ServiceUpdate{Disabled: new(true), DisabledReason: "lifeboat:1", ForcedDown: new(true)})
}

func (w world) update(host nova.HostName, u nova.ServiceUpdate) nova.Service {
	w.Helper()
	s, err := w.client.Service(w.Context(), host)
	if err != nil {
		w.Fatal(err)
	}
	if s, err = w.client.UpdateService(w.Context(), s.ID, u); err != nil {
		w.Fatal(err)
	}
	return s
}

func (w world) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(w.Context(), d)
	w.Cleanup(cancel)
	return ctx
}

// seen lists "METHOD path [version] body" of the requests whose line holds part.
func seen(cloud *novatest.Cloud, part string) []string {
	var lines []string
	for _, r := range cloud.Requests() {
		line := r.Method + " " + r.Path + " [" + r.Version + "] " + r.Body
		if strings.Contains(line, part) {
			lines = append(lines, line)
		}
	}
	return lines
}

func wantFault(t *testing.T, err error, fault nova.Fault, parts ...string) {
	t.Helper()
	if nova.FaultOf(err) != fault {
		t.Errorf("fault %q, want %q: %v", nova.FaultOf(err), fault, err)
		return
	}
	for _, part := range parts {
		if err != nil && !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}

// byHost sends each request to the transport of its host.
type byHost map[string]http.RoundTripper

func (b byHost) RoundTrip(r *http.Request) (*http.Response, error) {
	if rt := b[r.URL.Host]; rt != nil {
		return rt.RoundTrip(r)
	}
	return nil, errors.New("no such host: " + r.URL.Host)
}

// roundTrip makes a function a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answerWith(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}, "X-Openstack-Request-Id": {"req-canned"}},
		Body:   io.NopCloser(strings.NewReader(body)),
	}
}

func clock() time.Time { return time.Now() }

var discard = slog.New(slog.DiscardHandler)

func closedChannel() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
