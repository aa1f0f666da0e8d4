package nova

import "testing"

func TestServerSize(t *testing.T) {
	for name, row := range map[string]struct {
		extra map[string]string
		want  Size
		plain bool
	}{
		"as the flavor says":      {nil, Size{2, 0, 2048, 20}, true},
		"extra specs of no class": {map[string]string{"hw_video:ram_max_mb": "64", "quota:disk_read_iops_sec": "100"}, Size{2, 0, 2048, 20}, true},
		"own processors":          {map[string]string{"hw:cpu_policy": "dedicated"}, Size{0, 2, 2048, 20}, false},
		"some of its own":         {map[string]string{"hw:cpu_policy": "mixed"}, Size{0, 0, 2048, 20}, false},
		"shared processors":       {map[string]string{"hw:cpu_policy": "shared"}, Size{2, 0, 2048, 20}, false},
		"replaced":                {map[string]string{"resources:VCPU": "0", "resources:PCPU": "3", "resources:MEMORY_MB": "512", "resources:CUSTOM_GOLD": "1"}, Size{0, 3, 512, 20}, false},
		"a trait":                 {map[string]string{"trait:HW_CPU_X86_AVX2": "required"}, Size{2, 0, 2048, 20}, false},
		"an aggregate's":          {map[string]string{"aggregate_instance_extra_specs:ssd": "true"}, Size{2, 0, 2048, 20}, false},
	} {
		s := Server{VCPUs: 2, RAMMiB: 2048, DiskGiB: 20, FlavorExtra: row.extra}
		if got := s.Size(); got != row.want || s.Plain() != row.plain {
			t.Errorf("%s: %+v, plain %t", name, got, s.Plain())
		}
	}
}

// An image may ask for processors of its own too.
func TestServerSizeOfImage(t *testing.T) {
	s := Server{VCPUs: 2, ImageProperties: map[string]string{"hw_cpu_policy": "dedicated"}}
	if got := s.Size(); got != (Size{PCPUs: 2}) {
		t.Errorf("%+v", got)
	}
}

func TestSealedTPM(t *testing.T) {
	for name, row := range map[string]struct {
		server Server
		want   bool
	}{
		"none":                     {Server{FlavorExtra: map[string]string{"hw:cpu_policy": "shared"}}, false},
		"by its flavor":            {Server{FlavorExtra: map[string]string{"hw:tpm_version": "2.0"}}, true},
		"by its image":             {Server{ImageProperties: map[string]string{"hw_tpm_version": "1.2"}}, true},
		"its secret is Nova's own": {Server{FlavorExtra: map[string]string{"hw:tpm_version": "2.0", "hw:tpm_secret_security": "deployment"}}, false},
	} {
		if got := row.server.SealedTPM(); got != row.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestWithin(t *testing.T) {
	both := Size{4, 2, 4096, 40}
	for _, row := range []struct {
		name       string
		need, left Size
		fits       bool
	}{
		{"nothing", Size{}, both, true},
		{"all of it", both, both, true},
		{"a processor too many", Size{5, 0, 1, 1}, both, false},
		{"too much memory", Size{1, 0, 4097, 1}, both, false},
		{"too much disk", Size{1, 0, 1, 41}, both, false},
		{"of its own", Size{0, 2, 1, 1}, both, true},
		{"of its own, from the shared ones", Size{0, 3, 1, 1}, both, true},
		{"of its own, too many for both", Size{0, 5, 1, 1}, both, false},
		{"no shared ones", Size{1, 0, 1, 1}, Size{0, 8, 4096, 40}, false},
		{"too much was given out of what it does not ask for", Size{0, 1, 1, 0}, Size{-4, 1, 4096, -1}, true},
	} {
		if row.need.Within(row.left) != row.fits {
			t.Errorf("%s: %+v within %+v is %t", row.name, row.need, row.left, !row.fits)
		}
	}
	for need, want := range map[Size]Size{{1, 0, 96, 0}: {3, 2, 4000, 40}, {0, 1, 0, 0}: {4, 1, 4096, 40}, {1, 3, 0, 0}: {2, 0, 4096, 40}} {
		if got := both.Less(need); got != want {
			t.Errorf("less %+v: %+v, want %+v", need, got, want)
		}
	}
	if got := both.Plus(Size{1, 1, 1, 1}); got != (Size{5, 3, 4097, 41}) {
		t.Errorf("both %+v", got)
	}
}
