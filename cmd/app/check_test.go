package app

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
	"github.com/lifeboat-ha/lifeboat/nova/rest"
)

// loginOf sets the variables that log in to the emulator.
func loginOf(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"OS_CLOUD": "", "OS_CLIENT_CONFIG_FILE": "", "OS_INTERFACE": "", "OS_CACERT": "", "OS_SYSTEM_SCOPE": "",
		"OS_AUTH_URL": "http://nova.test/identity", "OS_USERNAME": novatest.User, "OS_PASSWORD": novatest.Password,
		"OS_PROJECT_NAME": novatest.Project, "OS_USER_DOMAIN_NAME": novatest.Domain, "OS_PROJECT_DOMAIN_NAME": novatest.Domain, "OS_REGION_NAME": novatest.Region,
	} {
		t.Setenv(name, value)
	}
}

// TestRemark: what would be left behind is listed with its reason, where the storage is the
// host's own word or an aggregate's, and groups that wait for themselves over two hosts.
func TestRemark(t *testing.T) {
	loginOf(t)
	synctest.Test(t, func(t *testing.T) {
		cloud := novatest.New(novatest.Options{Now: time.Now})
		defer cloud.Close()
		for _, h := range []nova.HostName{"cmp01", "cmp02", "cmp03"} {
			cloud.AddHost(h)
		}
		cloud.Boot("cmp01", 1, novatest.BootOptions{Name: "image"})
		cloud.Boot("cmp01", 1, novatest.BootOptions{Name: "volume", FromVolume: true, Project: "p1", Metadata: map[string]string{"lifeboat:group": "a", "lifeboat:after": "b"}})
		cloud.Boot("cmp02", 1, novatest.BootOptions{Name: "shared", Project: "p1", Metadata: map[string]string{"lifeboat:group": "b", "lifeboat:after": "a"}})
		cloud.Boot("cmp03", unmovableShown+2, novatest.BootOptions{Name: "many"})
		cloud.SetAggregates(nova.Aggregate{Name: "ceph", Hosts: []nova.HostName{"cmp02"}, Metadata: map[string]string{"lifeboat:storage": "shared"}})
		client, err := rest.Connect(t.Context(), rest.Options{Now: time.Now, Transport: cloud.Transport()})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Close() }()
		cfg := &config.Controller{Hosts: []config.Host{{Name: "cmp01", Storage: "none", Unsaid: true}, {Name: "cmp02", Storage: "none", Unsaid: true}, {Name: "cmp03", Storage: "local"}}}
		cfg.Policy.Storage, cfg.Policy.Order.Owners = "none", true
		var out strings.Builder
		if err := remark(t.Context(), client, cfg, map[nova.HostName]bool{"cmp01": true, "cmp02": true, "cmp03": true}, &out); err != nil {
			t.Fatal(err)
		}
		for want, n := range map[string]int{"cmp01: image (": 1, "volume (": 0, "shared (": 0, "cmp03: many (": unmovableShown, "cmp03: and 2 more": 1, "the group p1/a ": 1, "the group p1/b ": 1} {
			if got := strings.Count(out.String(), want); got != n {
				t.Errorf("%q stands there %d times, want %d:\n%s", want, got, n, out.String())
			}
		}
	})
}
