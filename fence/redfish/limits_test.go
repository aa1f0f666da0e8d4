package redfish_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/fence/redfish"
)

// Options show the password nowhere, nor one that stands in the address.
func TestOptionsHideThePassword(t *testing.T) {
	o := redfish.Options{Address: "https://admin:" + password + "@bmc.example", Username: "admin", Password: password}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "options", o)
	for _, text := range []string{log.String(), fmt.Sprintf("%v %+v %#v %s", o, o, o, &o), fmt.Sprint(o.Validate())} {
		if strings.Contains(text, password) {
			t.Errorf("the password shows in %q", text)
		}
	}
}

func TestClearTextMustBeSaid(t *testing.T) {
	o := redfish.Options{Address: "http://bmc.example", Username: "admin", Password: password, Now: time.Now}
	if err := o.Validate(); err == nil {
		t.Error("http without a word")
	}
	o.Insecure = true
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
}

func off(t *testing.T, m fence.Method) (fence.Proof, error) {
	t.Helper()
	proof, _, err := fence.Chain{Clock: fencetest.Clock{}, Links: []fence.Link{{Method: m}}}.Off(
		t.Context(), "host", "boot", func(context.Context) error { return nil })
	return proof, err
}

// What a proof cannot see (fence/DESIGN.md), pinned down so that nobody believes
// otherwise: a BMC that accepts off and says off of a running machine is believed.
func TestALyingBMCIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bmc, machine, m := world(t)
		bmc.Set(func(k *fencetest.Knobs) { k.NotHonoured, k.LyingOff = true, true })
		if proof, err := off(t, m); err != nil || !proof.Covers("host", "boot") || !machine.On() {
			t.Errorf("%v, machine on %v: if this is seen now, say so in DESIGN.md", err, machine.On())
		}
	})
}

// A machine that comes back by itself while it is being fenced breaks the run of
// readings and is powered off again; one that comes back later has its proof, and
// reads on for whoever looks.
func TestAMachineThatComesBack(t *testing.T) {
	for _, test := range []struct {
		after time.Duration
		proof bool
	}{{600 * time.Millisecond, false}, {time.Minute, true}} {
		synctest.Test(t, func(t *testing.T) {
			bmc, machine, m := world(t)
			bmc.Set(func(k *fencetest.Knobs) { k.SelfOn, k.Delay = test.after, 10*time.Millisecond })
			if _, err := off(t, m); (err == nil) != test.proof {
				t.Errorf("back after %v: %v", test.after, err)
			}
			if n := len(bmc.Commands()); n < 1 || !test.proof && n < 3 {
				t.Errorf("back after %v: %d commands", test.after, n)
			}
			time.Sleep(2 * time.Minute)
			if r := m.Power(t.Context()); r.Power != fence.On || !machine.On() {
				t.Errorf("back after %v: %+v", test.after, r)
			}
		})
	}
}
