package evacuate

import (
	"strings"
	"testing"

	"github.com/lifeboat-ha/lifeboat/nova"
)

func words(s string) map[string]string {
	if s == "-" {
		return nil
	}
	m := map[string]string{}
	for _, pair := range strings.Fields(s) {
		k, v, _ := strings.Cut(pair, "=")
		m[map[string]string{"ours": keyProtected, "masakari": keyMasakari, "redhat": keyRedHat}[k]] = v
	}
	return m
}

// TestProtected: the nearest that says anything wins; at one level ours first,
// then no.
func TestProtected(t *testing.T) {
	tests := []struct {
		name                          string
		policy                        Protect
		server, flavor, image, groups string // groups are separated by commas
		want                          bool
		why                           string
	}{
		{"all", ProtectAll, "ours=false", "", "", "", true, ""},
		{"not configured", "", "ours=false", "", "", "", true, ""},
		{"opt-out, nothing said", ProtectOptOut, "", "", "", "", true, "nothing says anything"},
		{"opt-in, nothing said", ProtectOptIn, "", "", "", "", false, "nothing says anything"},
		{"server", ProtectOptIn, "ours=true", "", "", "", true, "it says lifeboat:protected=true"},
		{"Masakari's key", ProtectOptIn, "masakari=True", "", "", "", true, "it says HA_Enabled=True"},
		{"flavor", ProtectOptIn, "", "redhat=true", "", "", true, "its flavor says evacuable=true"},
		{"image", ProtectOptIn, "", "", "redhat=true", "", true, "its image says evacuable=true"},
		{"aggregate", ProtectOptIn, "", "", "", "redhat=true", true, "aggregate says evacuable=true"},
		{"server before flavor", ProtectOptOut, "masakari=false", "ours=true", "ours=true", "ours=true", false, "it says HA_Enabled=false"},
		{"flavor before image", ProtectOptOut, "", "ours=no", "ours=yes", "", false, "its flavor says"},
		{"image before aggregate", ProtectOptOut, "", "", "ours=0", "ours=1", false, "its image says"},
		{"ours before theirs", ProtectOptOut, "ours=true masakari=false redhat=false", "", "", "", true, "lifeboat:protected=true"},
		{"theirs contradict: no wins", ProtectOptIn, "masakari=true redhat=false", "", "", "", false, "evacuable=false"},
		{"and the other way round", ProtectOptIn, "masakari=false redhat=true", "", "", "", false, "HA_Enabled=false"},
		{"aggregates contradict: no wins", ProtectOptIn, "", "", "", "ours=true,ours=false", false, "lifeboat:protected=false"},
		{"ours of one aggregate before theirs of another", ProtectOptIn, "", "", "", "redhat=false,ours=true", true, "lifeboat:protected=true"},
		{"a word that is none", ProtectOptOut, "ours=maybe", "redhat=false", "", "", false, "its flavor says"},
		{"a flavor that may not be seen", ProtectOptIn, "", "-", "redhat=true", "", true, "its image says"},
		{"an image that could not be read", ProtectOptIn, "", "", "-", "ours=false", true, "could not be read"},
		{"an image that could not be read, and the flavor knows", ProtectOptOut, "", "ours=false", "-", "", false, "its flavor says"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := nova.Server{ID: "vm1", Host: "cmp1", Image: "i1", Metadata: words(tt.server), FlavorExtra: words(tt.flavor), ImageProperties: words(tt.image)}
			aggregates := []nova.Aggregate{{Name: "other", Hosts: []nova.HostName{"cmp2"}, Metadata: words("ours=false")}}
			for _, g := range strings.Split(tt.groups, ",") {
				aggregates = append(aggregates, nova.Aggregate{Name: "a", Hosts: []nova.HostName{"cmp1"}, Metadata: words(g)})
			}
			yes, why := Policy{Protect: tt.policy}.Protected(s, aggregates)
			if yes != tt.want || !strings.Contains(why, tt.why) {
				t.Errorf("%t: %q, want %t: %q", yes, why, tt.want, tt.why)
			}
		})
	}
}
