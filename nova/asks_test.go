package nova

import (
	"reflect"
	"strings"
	"testing"
)

func TestAsks(t *testing.T) {
	type words = map[string]string
	for name, tt := range map[string]struct {
		flavor, image words
		want          Asks
		size          Size
		text          string
	}{
		"nothing":          {words{"hw:numa_nodes": "2", "lifeboat:priority": "high"}, nil, Asks{}, Size{VCPUs: 2, RAMMiB: 1024}, ""},
		"traits":           {words{"trait:B": "required", "trait:A": "required", "trait:C": "forbidden", "trait:D": "preferred"}, nil, Asks{Required: []string{"A", "B"}, Forbidden: []string{"C"}}, Size{VCPUs: 2, RAMMiB: 1024}, "A, B, not C"},
		"granular traits":  {words{"trait1:A": "required", "trait_GPU:A": "required", "trait1:C": "forbidden"}, nil, Asks{Required: []string{"A"}}, Size{VCPUs: 2, RAMMiB: 1024}, "A"},
		"classes":          {words{"resources:CUSTOM_X": "2", "resources:VGPU": "0", "resources:CUSTOM_Y": "many"}, nil, Asks{Classes: map[string]int{"CUSTOM_X": 2}}, Size{VCPUs: 2, RAMMiB: 1024}, "2 of CUSTOM_X"},
		"granular classes": {words{"resources1:VGPU": "1", "resources_B:VGPU": "2", "resources:VGPU": "4"}, nil, Asks{Classes: map[string]int{"VGPU": 7}}, Size{VCPUs: 2, RAMMiB: 1024}, "7 of VGPU"},
		"those of a size":  {words{"resources:VCPU": "0", "resources1:MEMORY_MB": "100", "resources2:MEMORY_MB": "50", "resources:DISK_GB": "7"}, nil, Asks{}, Size{RAMMiB: 150, DiskGiB: 7}, ""},
		"no names":         {words{"resources": "1", "trait": "required", "trait:": "required", "resources:": "1"}, nil, Asks{}, Size{VCPUs: 2, RAMMiB: 1024}, ""},
		"the image's":      {words{"trait:A": "required"}, words{"trait:A": "required", "trait:B": "required", "trait:C": "forbidden", "trait1:D": "required", "name": "required"}, Asks{Required: []string{"A"}, Image: []string{"B"}}, Size{VCPUs: 2, RAMMiB: 1024}, "A, B"},
		"aggregates":       {words{"aggregate_instance_extra_specs:ssd": "true", "ssd": "false"}, nil, Asks{Aggregates: words{"ssd": "true"}}, Size{VCPUs: 2, RAMMiB: 1024}, "an aggregate with ssd=true"},
	} {
		s := Server{VCPUs: 2, RAMMiB: 1024, FlavorExtra: tt.flavor, ImageProperties: tt.image}
		if got := s.Asks(); !reflect.DeepEqual(got, tt.want) || s.Size() != tt.size || strings.Join(got.Words(), ", ") != tt.text {
			t.Errorf("%s: %+v, %+v, %q", name, got, s.Size(), got.Words())
		}
	}
}
