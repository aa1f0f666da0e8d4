package evacuate

import (
	"strings"
	"testing"

	"github.com/lifeboat-ha/lifeboat/nova"
)

func TestUnmovable(t *testing.T) {
	p := DefaultPolicy()
	all := []nova.Server{
		{Name: "a", ID: "1", VMState: nova.VMActive},
		{Name: "b", ID: "2", VMState: nova.VMPaused, VolumeBooted: true},
		{Name: "c", ID: "3", VMState: nova.VMActive, VolumeBooted: true, FlavorExtra: map[string]string{"hw:tpm_version": "2.0"}},
		{Name: "d", ID: "4", VMState: nova.VMActive, Metadata: map[string]string{"lifeboat:protected": "false"}},
	}
	for name, tt := range map[string]struct {
		storage Storage
		protect Protect
		want    []string
	}{
		"no storage declared": {StorageNone, "", []string{"a (1) would be left: its disk is an image copy", "c (3) would be left: it has a virtual TPM", "d (4)"}},
		"shared":              {StorageShared, "", []string{"c (3)"}},
		"one has opted out":   {StorageNone, ProtectOptOut, []string{"a (1)", "c (3)"}},
	} {
		p.Protect = tt.protect
		got := Unmovable(all, tt.storage, nil, p)
		if len(got) != len(tt.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i, want := range tt.want {
			if !strings.HasPrefix(got[i], want) {
				t.Errorf("%s: %q, want %q", name, got[i], want)
			}
		}
	}
}

// Circles are found over all hosts, and within one project only.
func TestCircles(t *testing.T) {
	in := func(project, group, after string) nova.Server {
		return nova.Server{Project: project, Metadata: map[string]string{keyGroup: group, keyAfter: after}}
	}
	all := []nova.Server{in("p1", "a", "b"), in("p1", "b", "a"), in("p2", "a", "b"), in("p2", "b", ""), in("p3", "c", "c")}
	if got := strings.Join(Circles(all, DefaultPolicy()), " "); got != "p1/a p1/b p3/c" {
		t.Errorf("%s", got)
	}
}
