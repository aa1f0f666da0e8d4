//go:build contract

// Package contract proves the adapters on the real thing. This file holds
// nova/rest against a real Nova:
//
//	LIFEBOAT_NOVA=1 and an account in OS_*             the cloud; without it the test is skipped
//	LIFEBOAT_NOVA_BOOT='cmd %s %d'                      boots that many servers on that host and waits
//	LIFEBOAT_NOVA_KILL='cmd %s', …_RESTART='cmd %s'     the host dies; it and its nova-compute come back
//	LIFEBOAT_NOVA_AGGREGATE='cmd'                       makes an empty aggregate and prints its number
//	LIFEBOAT_NOVA_PROVIDE='cmd %s %s %s %d'             a provider below that host, with a trait and so much of a class
//	LIFEBOAT_NOVA_SOURCE, LIFEBOAT_NOVA_OTHERS          hosts; default: the first of os-services, the rest
//
// It disables, forces down and evacuates SOURCE: never give it a cloud with
// servers that matter. On the lab (test/lab), where OpenStack has a network
// namespace of its own:
//
//	go test -c -tags contract -o /tmp/contract.test ./test/contract
//	cd test/lab && eval "$(./lab env)" && LIFEBOAT_NOVA=1 LIFEBOAT_NOVA_BOOT="$PWD/lab boot %s %d c-\$\$" LIFEBOAT_NOVA_AGGREGATE="$PWD/lab aggregate contract" \
//	  LIFEBOAT_NOVA_PROVIDE="$PWD/lab provide %s %s %s %d" \
//	  LIFEBOAT_NOVA_KILL="$PWD/lab power %s off" LIFEBOAT_NOVA_RESTART="$PWD/lab power %s on" \
//	  ./lab run lbctl /tmp/contract.test -test.run TestNova -test.v
package contract

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
	"github.com/lifeboat-ha/lifeboat/nova/rest"
)

func TestNova(t *testing.T) {
	t.Parallel()
	if os.Getenv("LIFEBOAT_NOVA") != "1" {
		t.Skip("no real Nova given (LIFEBOAT_NOVA=1)")
	}
	client := connectNova(t)
	list, _, err := client.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var hosts []nova.HostName
	for _, s := range list {
		hosts = append(hosts, s.Host)
	}
	slices.Sort(hosts)
	if len(hosts) < 2 {
		t.Fatalf("want two compute hosts, found %v", hosts)
	}
	source := nova.HostName(cmp.Or(os.Getenv("LIFEBOAT_NOVA_SOURCE"), string(hosts[0])))
	others := slices.DeleteFunc(hosts, func(h nova.HostName) bool { return h == source })
	if given := os.Getenv("LIFEBOAT_NOVA_OTHERS"); given != "" {
		others = nil
		for _, h := range strings.Split(given, ",") {
			others = append(others, nova.HostName(h))
		}
	}
	novatest.Contract(t, novatest.Harness{
		API: client, Source: source, Others: others,
		Boot: func(t *testing.T, host nova.HostName, n int) []nova.ServerID { return bootOn(t, client, host, n) },
		Aggregate: func(t *testing.T) int {
			id, err := strconv.Atoi(strings.TrimSpace(command(t, "LIFEBOAT_NOVA_AGGREGATE")))
			if err != nil {
				t.Fatalf("LIFEBOAT_NOVA_AGGREGATE printed no number: %v", err)
			}
			return id
		},
		Provide: func(t *testing.T, host nova.HostName, trait, class string, n int) {
			command(t, "LIFEBOAT_NOVA_PROVIDE", host, trait, class, n)
		},
		Kill:     func(t *testing.T, host nova.HostName) { command(t, "LIFEBOAT_NOVA_KILL", host) },
		Restart:  func(t *testing.T, host nova.HostName) { command(t, "LIFEBOAT_NOVA_RESTART", host) },
		Patience: 3 * time.Minute, Pause: 500 * time.Millisecond,
	})
}

func connectNova(t *testing.T) *rest.Client {
	t.Helper()
	o := rest.Default()
	o.Now = time.Now
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := rest.Connect(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// bootOn finds the new servers by comparing the host's lists.
func bootOn(t *testing.T, client *rest.Client, host nova.HostName, n int) []nova.ServerID {
	t.Helper()
	before, err := client.Servers(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	command(t, "LIFEBOAT_NOVA_BOOT", host, n)
	after, err := client.Servers(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	var fresh []nova.ServerID
	for _, s := range after {
		if !slices.ContainsFunc(before, func(old nova.Server) bool { return old.ID == s.ID }) {
			fresh = append(fresh, s.ID)
		}
	}
	if len(fresh) != n {
		t.Fatalf("booted %d servers on %s, found %d new ones", n, host, len(fresh))
	}
	return fresh
}

func command(t *testing.T, variable string, args ...any) string {
	t.Helper()
	form := os.Getenv(variable)
	if form == "" {
		t.Skipf("%s is not set", variable)
	}
	line := fmt.Sprintf(form, args...)
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}
