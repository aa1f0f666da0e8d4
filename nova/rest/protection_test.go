package rest

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

func TestAggregates(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		w.cloud.SetAggregates(
			nova.Aggregate{Name: "fast", Zone: "az1", Hosts: []nova.HostName{"cmp01", "cmp02"}, Metadata: map[string]string{"lifeboat:max_failures": "1"}},
			nova.Aggregate{Name: "empty"})
		list, err := w.client.Aggregates(w.Context())
		if err != nil || len(list) != 2 || list[0].Zone != "az1" || len(list[0].Hosts) != 2 || list[0].Metadata["lifeboat:max_failures"] != "1" || list[1].Name != "empty" {
			t.Errorf("%+v, %v", list, err)
		}
		w.cloud.SetPolicy(novatest.Policy{Forbid: true})
		_, err = w.client.Aggregates(w.Context())
		wantFault(t, err, nova.FaultRefused, "os-aggregates")
	})
}

// TestWhereProtectionIsTold: metadata and extra specs come with a server, image
// properties from Glance: only when asked for, each image once in a while.
func TestWhereProtectionIsTold(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		id := w.cloud.AddImage(map[string]string{"evacuable": "true"})
		w.cloud.Boot("cmp01", 2, novatest.BootOptions{Image: id, Metadata: map[string]string{"HA_Enabled": "True"}, FlavorExtra: map[string]string{"evacuable": "false"}})
		w.cloud.Boot("cmp01", 1, novatest.BootOptions{FromVolume: true})
		asked := func() (n int) {
			for _, r := range w.cloud.Requests() {
				if strings.HasPrefix(r.Path, "/image/") {
					n++
				}
			}
			return n
		}
		read := func(reads int, want string) {
			t.Helper()
			before := asked()
			list, err := w.client.Servers(w.Context(), "cmp01")
			if err != nil || len(list) != 3 {
				t.Fatalf("%+v, %v", list, err)
			}
			for _, s := range list {
				switch {
				case s.Image == "" && (s.ImageProperties != nil || s.FlavorExtra == nil):
					t.Errorf("from a volume: %+v", s)
				case s.Image != "" && (s.ImageProperties["evacuable"] != want || s.Metadata["HA_Enabled"] != "True" || s.FlavorExtra["evacuable"] != "false"):
					t.Errorf("%+v, want its image to say %q", s, want)
				}
			}
			if n := asked() - before; n != reads {
				t.Errorf("%d reads of images, want %d", n, reads)
			}
		}
		read(0, "")
		w.client.opts.Images = true
		read(1, "true")
		read(0, "true")
		w.cloud.DeleteImage(id)
		time.Sleep(imagesFresh + time.Second)
		read(1, "true") // of a deleted image what was known stays
		w.cloud.Inject(novatest.Fault{Match: "/image/", Hang: true})
		time.Sleep(imagesFresh + time.Second)
		began := time.Now()
		read(1, "true")
		if took := time.Since(began); took > imagesPatience+time.Second {
			t.Errorf("a hanging Glance cost a list of servers %v", took)
		}
		read(0, "true")
	})
}
