package rest

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/lifeboat-ha/lifeboat/nova"
)

func TestStamp(t *testing.T) {
	want := time.Date(2026, 11, 21, 5, 4, 3, 0, time.UTC)
	for text, want := range map[string]time.Time{
		`"2026-11-21T05:04:03Z"`:             want,
		`"2026-11-21T05:04:03.000000"`:       want,
		`"2026-11-21T05:04:03"`:              want,
		`"2026-11-21 05:04:03"`:              want,
		`"2026-11-21T05:04:03.500000"`:       want.Add(time.Second / 2),
		`"2026-11-21T06:04:03.000000+01:00"`: want,
		`null`:                               {},
		`""`:                                 {},
	} {
		var got stamp
		if err := json.Unmarshal([]byte(text), &got); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	var got stamp
	if json.Unmarshal([]byte(`"yesterday"`), &got) == nil || json.Unmarshal([]byte(`7`), &got) == nil {
		t.Error("nonsense is no time")
	}
}

func TestComplaint(t *testing.T) {
	for body, want := range map[string]string{
		`{"conflictingRequest": {"code": 409, "message": "Cannot 'evacuate'\n instance"}}`: "Cannot 'evacuate' instance",
		`{"error": {"code": 401, "title": "Unauthorized", "message": "no"}}`:               "no",
		`{"errors": [{"status": 404, "detail": "No resource provider"}]}`:                  "No resource provider",
	} {
		if got, genuine := complaint([]byte(body)); got != want || !genuine {
			t.Errorf("%s: %q, %v", body, got, genuine)
		}
	}
	for _, body := range []string{"", "<html>", "[]", "{}", `{"message": "x"}`, `{"itemNotFound": {"message": ""}}`} {
		if got, genuine := complaint([]byte(body)); got != "" || genuine {
			t.Errorf("%s: %q, %v", body, got, genuine)
		}
	}
}

// Every decoder takes whatever an API says without falling over, and never
// makes a definite answer of nonsense.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"services":[{"binary":"nova-compute","host":"a","status":"UNKNOWN"}]}`,
		`{"servers":[{"id":"1","image":"","OS-EXT-SRV-ATTR:host":null,"flavor":{"ram":1}}],"servers_links":[{"rel":"next"}]}`,
		`{"server":{"id":"x","image":{"id":"i"},"OS-SRV-USG:launched_at":null}}`,
		`{"migrations":[{"id":1,"uuid":"u","created_at":"2026-11-21T05:04:03.000000","updated_at":null}]}`,
		`{"instanceActions":[{"action":"evacuate","start_time":null}]}`,
		`{"server_groups":[{"id":"g","policies":["affinity"],"members":["1"]}]}`,
		`{"traits":[]}`, `{"hypervisors":[]}`, `{"version":{"version":"2.93"}}`, `null`, `[]`, ``, `<html>`,
	} {
		f.Add(200, seed)
		f.Add(404, seed)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			return
		}
		client := &Client{
			now: clock, opts: Options{Timeout: time.Second}, log: discard, nodes: map[nova.HostName][]string{},
			compute: newEndpoints([]string{"http://h"}, computeBase), placement: newEndpoints([]string{"http://h"}, placementBase),
			versions: new(pins(1, 93)), provider: &gophercloud.ProviderClient{}, identity: newEndpoints(nil, identityBase),
			kick: make(chan struct{}, 1), done: closedChannel(),
		}
		calls := 0
		client.provider.HTTPClient.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			if calls++; calls > 20 {
				return answerWith(500, ""), nil // a listing that never ends is cut here, not by the fuzzer
			}
			return answerWith(status, body), nil
		})
		ctx := t.Context()
		_, _, _ = client.Services(ctx)
		_, _ = client.ControlServices(ctx)
		_, _ = client.AllServersByHost(ctx)
		_, _ = client.ServerGroups(ctx)
		_, _ = client.Actions(ctx, "x")
		_, _ = client.ComputeStatusDisabled(ctx, "a")
		if list, err := client.Servers(ctx, "a"); err == nil {
			for _, s := range list {
				if s.Host != "a" {
					t.Errorf("a server of %q for host a", s.Host)
				}
			}
		}
		if list, err := client.Evacuations(ctx, "a"); err == nil {
			for _, m := range list {
				if m.Source != "a" || m.Type != "evacuation" {
					t.Errorf("a row of %+v for host a", m)
				}
			}
		}
		if s, err := client.Server(ctx, "x"); err == nil && s.ID != "x" {
			t.Errorf("server %q for x", s.ID)
		}
		if _, err := client.Evacuate(ctx, "x", nova.Target{}); err != nil && status >= 500 && nova.FaultOf(err).Definite() {
			t.Errorf("status %d made a definite no: %v", status, err)
		}
	})
}
