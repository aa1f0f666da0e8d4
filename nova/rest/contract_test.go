package rest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

func TestContractOnEmulator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := connected(t, novatest.Options{})
		cloud.AddHost("cmp01")
		cloud.AddHost("cmp02")
		cloud.AddHost("cmp03")
		cloud.SetAggregates(nova.Aggregate{Name: "fast", Zone: "az1", Hosts: []nova.HostName{"cmp01"}, Metadata: map[string]string{"ssd": "true"}}, nova.Aggregate{Name: "contract"})
		novatest.Contract(t, novatest.Harness{
			API: client, Source: "cmp01", Others: []nova.HostName{"cmp02", "cmp03"},
			Boot:      func(_ *testing.T, host nova.HostName, n int) []nova.ServerID { return cloud.Boot(host, n) },
			Aggregate: func(*testing.T) int { return 2 },
			Provide: func(_ *testing.T, host nova.HostName, trait, class string, n int) {
				cloud.AddProvider(host, []string{trait}, map[string]int{class: n})
			},
			Kill: func(_ *testing.T, host nova.HostName) { cloud.PowerOff(host) },
			Restart: func(_ *testing.T, host nova.HostName) {
				cloud.PowerOn(host)
				cloud.RestartCompute(host)
			},
			Run:      func(t *testing.T, _ string, f func(t *testing.T)) { f(t) },
			Patience: 2 * time.Minute, Pause: time.Second,
		})
		if v := cloud.Violations(); len(v) > 0 {
			t.Error(v)
		}
	})
}
