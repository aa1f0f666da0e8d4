package evacuate

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

func TestParseReady(t *testing.T) {
	for word, want := range map[string]struct {
		port  int
		after time.Duration
		bad   bool
	}{
		"": {}, "active": {}, " Active ": {}, "30s": {0, 30 * time.Second, false}, "2m": {0, 2 * time.Minute, false}, "9h": {0, readyMost, false},
		"port:5432": {5432, 0, false}, "port:5432,10s": {5432, 10 * time.Second, false}, "10s, port:22": {22, 10 * time.Second, false}, "active,port:1": {1, 0, false},
		"-5s": {0, 0, true}, "soon": {0, 0, true}, "port:0": {0, 0, true}, "port:70000": {0, 0, true}, "port:ssh": {0, 0, true}, "port:": {0, 0, true}, "agent": {0, 0, true}, "port:22,soon": {0, 0, true},
	} {
		port, after, err := ParseReady(word)
		if port != want.port || after != want.after || (err != nil) != want.bad {
			t.Errorf("%q: port %d, %s, %v", word, port, after, err)
		}
	}
}

// TestRemarks: each word that has no effect is named with its server and what would have.
func TestRemarks(t *testing.T) {
	all := Policy{Order: Order{Owners: true, Ports: true}}
	for name, c := range map[string]struct {
		policy   Policy
		metadata map[string]string
		flavor   map[string]string
		want     string // "": nothing
	}{
		"nothing said":         {all, nil, nil, ""},
		"all is well":          {all, map[string]string{keyPriority: "high", keyGroup: "db", keyAfter: "web", keyReady: "port:1,5s", keyReimage: "true"}, map[string]string{keyPriority: "-3"}, ""},
		"a priority":           {all, map[string]string{keyPriority: "urgent"}, nil, `"urgent" is not understood`},
		"of a flavor":          {all, nil, map[string]string{keyPriority: "urgent"}, `"urgent" of its flavor`},
		"a readiness":          {all, map[string]string{keyGroup: "db", keyReady: "soon"}, nil, "counts as active"},
		"a guest agent":        {all, map[string]string{keyGroup: "db", keyReady: "agent"}, nil, "guest agent can't be asked"},
		"without a group":      {all, map[string]string{keyReady: "30s"}, nil, "without " + keyGroup},
		"ports are not asked":  {Policy{Order: Order{Owners: true}}, map[string]string{keyGroup: "db", keyReady: "port:1"}, nil, "policy.order.ports is off"},
		"its own group":        {all, map[string]string{keyGroup: "db", keyAfter: "db"}, nil, "its own group db"},
		"owners are not heard": {Policy{}, map[string]string{keyGroup: "db"}, nil, "policy.order.owners is off"},
		"a re-image":           {all, map[string]string{keyReimage: "maybe"}, nil, "use true or false"},
	} {
		got := Remarks([]nova.Server{{ID: "s1", Name: "vm", Metadata: c.metadata, FlavorExtra: c.flavor}}, c.policy)
		switch {
		case c.want == "" && len(got) == 0:
		case c.want == "" || len(got) != 1 || !strings.HasPrefix(got[0], "vm (s1): ") || !strings.Contains(got[0], c.want):
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
