package novatest

import (
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// The scheduler keeps to traits, classes and, where it is told to, aggregates.
func TestScheduleByAsks(t *testing.T) {
	type words = map[string]string
	for name, tt := range map[string]struct {
		extra   words
		filters bool
		want    string
	}{
		"a trait of the host":                   {words{"trait:CUSTOM_FAST": "required"}, false, "fast"},
		"a trait below it":                      {words{"trait:CUSTOM_GPU": "required"}, false, "gpu"},
		"a trait that nobody has":               {words{"trait:CUSTOM_B": "required"}, false, ""},
		"neither":                               {words{"trait:CUSTOM_FAST": "forbidden", "trait:CUSTOM_SSD": "forbidden"}, false, "gpu"},
		"a class":                               {words{"resources:VGPU": "2"}, false, "gpu"},
		"a class that is given out":             {words{"resources:VGPU": "3"}, false, ""},
		"a class of the host":                   {words{"resources:CUSTOM_LICENCE": "1"}, false, "fast"},
		"aggregates, which no filter asks":      {words{"aggregate_instance_extra_specs:ssd": "true", "trait:CUSTOM_FAST": "required"}, false, "fast"},
		"aggregates, which a filter asks":       {words{"aggregate_instance_extra_specs:ssd": "true"}, true, "ssd"},
		"a project's host, which a filter asks": {words{"trait:CUSTOM_FAST": "required"}, true, ""},
	} {
		c := New(Options{Now: time.Now, AggregateFilters: tt.filters})
		c.AddHost("dead")
		c.AddHost("fast", HostOptions{Traits: []string{"CUSTOM_FAST"}, Resources: map[string]int{"CUSTOM_LICENCE": 1}})
		c.AddHost("gpu")
		c.AddHost("ssd", HostOptions{Traits: []string{"CUSTOM_SSD"}})
		c.AddProvider("gpu", []string{"CUSTOM_GPU"}, map[string]int{"VGPU": 3})
		c.Boot("gpu", 1, BootOptions{FlavorExtra: words{"resources:VGPU": "1"}})
		c.SetAggregates(nova.Aggregate{Name: "ssd", Hosts: []nova.HostName{"ssd"}, Metadata: words{"ssd": "true"}},
			nova.Aggregate{Name: "theirs", Hosts: []nova.HostName{"fast"}, Metadata: words{"filter_tenant_id": "theirs"}})
		id := c.Boot("dead", 1, BootOptions{FlavorExtra: tt.extra})[0]
		got := ""
		c.set(func() {
			if h := c.schedule(c.byID[string(id)], ""); h != nil {
				got = h.name
			}
		})
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
		c.Close()
	}
}
