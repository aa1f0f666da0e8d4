package nova

import "testing"

func TestServerSize(t *testing.T) {
	for name, row := range map[string]struct {
		extra map[string]string
		want  Size
		plain bool
	}{
		"as the flavor says":      {nil, Size{2, 2048, 20}, true},
		"extra specs of no class": {map[string]string{"hw_video:ram_max_mb": "64", "quota:disk_read_iops_sec": "100"}, Size{2, 2048, 20}, true},
		"own processors":          {map[string]string{"hw:cpu_policy": "dedicated"}, Size{0, 2048, 20}, false},
		"shared processors":       {map[string]string{"hw:cpu_policy": "shared"}, Size{2, 2048, 20}, false},
		"replaced":                {map[string]string{"resources:VCPU": "0", "resources:MEMORY_MB": "512", "resources:CUSTOM_GOLD": "1"}, Size{0, 512, 20}, false},
		"a trait":                 {map[string]string{"trait:HW_CPU_X86_AVX2": "required"}, Size{2, 2048, 20}, false},
		"an aggregate's":          {map[string]string{"aggregate_instance_extra_specs:ssd": "true"}, Size{2, 2048, 20}, false},
	} {
		s := Server{VCPUs: 2, RAMMiB: 2048, DiskGiB: 20, FlavorExtra: row.extra}
		if got := s.Size(); got != row.want || s.Plain() != row.plain {
			t.Errorf("%s: %+v, plain %t", name, got, s.Plain())
		}
	}
}

func TestWithin(t *testing.T) {
	left := Size{4, 4096, 40}
	for need, fits := range map[Size]bool{
		{}: true, {4, 4096, 40}: true, {5, 1, 1}: false, {1, 4097, 1}: false, {1, 1, 41}: false,
	} {
		if need.Within(left) != fits {
			t.Errorf("%+v within %+v is %t", need, left, !fits)
		}
	}
	if got := left.Less(Size{1, 96, 0}); got != (Size{3, 4000, 40}) {
		t.Errorf("left %+v", got)
	}
}
