package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// fencing serves the API with a host's fencing.
func fencing(t *testing.T, c *controller, test func(nova.HostName) (*evacuate.FenceTest, error), drills func(nova.HostName) (*evacuate.Drills, bool)) string {
	t.Helper()
	return serve(t, c, api.Options{FenceTest: func(_ context.Context, h nova.HostName) (*evacuate.FenceTest, error) { return test(h) }, Drills: drills})
}

func TestFenceTest(t *testing.T) {
	good := true
	url := fencing(t, newController(), func(h nova.HostName) (*evacuate.FenceTest, error) {
		if h != "cmp1" {
			return nil, api.ErrNotFound
		}
		m := evacuate.MethodTest{LinkStanding: evacuate.LinkStanding{FenceLink: evacuate.FenceLink{Method: "redfish", Target: "https://10.9.0.21", Budget: 20 * time.Second,
			Check: evacuate.FenceCheck{Read: start, Power: fence.On, Took: 1500 * time.Millisecond, Expires: start.Add(20 * 24 * time.Hour)}},
			Recognition: fence.Recognition{Match: fence.Same, Why: "UUID 1"}, Usable: true},
			Reading: fence.Reading{Method: "redfish", Power: fence.On, Began: start, Ended: start.Add(1500 * time.Millisecond), Raw: "On"},
			Said:    fence.Identity{Serial: "SN-1"}, Asking: 300 * time.Millisecond}
		if good {
			m.Check.Expires = start.Add(400 * 24 * time.Hour)
		}
		out := &evacuate.FenceTest{Host: h, At: start, By: "ctl1", Heard: time.Second, Methods: []evacuate.MethodTest{m},
			Gate: evacuate.Answer{Gate: evacuate.GateFenceable, Pass: true, Standing: evacuate.Met, Reason: "redfish: UUID 1"}}
		out.Finish()
		return out, nil
	}, nil)
	do := shellAt(t, url, Hooks{})
	out, errs, code := do("fence", "test", "cmp1")
	if code != 0 {
		t.Fatalf("%d %s", code, errs)
	}
	golden(t, "fence-test", out)
	if out, _, code = do("fence", "test", "cmp1", "-o", "json"); code != 0 || !strings.Contains(out, `"needs": 7000000000`) {
		t.Errorf("%d %s", code, out)
	}
	if _, _, code = do("fence", "test", "cmp9"); code != ExitNotFound {
		t.Errorf("exit code %d for a host that is not there", code)
	}
	good = false
	if out, errs, code = do("fence", "test", "cmp1"); code != ExitFailed || !strings.Contains(out, "WRONG        its certificate ends on 2026-12-11, in 20 days") || !strings.Contains(errs, "not all is well") {
		t.Errorf("%d %s%s", code, out, errs)
	}
}

// TestFenceDrill: the case is shown, the name typed, and the drill followed to its end.
func TestFenceDrill(t *testing.T) {
	for _, tt := range []struct {
		name, typed string
		ends        evacuate.DrillStage
		code        int
		says        string
		sent        int
	}{
		{"done", "cmp2\n", evacuate.DrillDone, 0, "off after 3s, silent after 1s, heard again 2m0s after power-on", 2},
		{"failed", "cmp2\n", evacuate.DrillFailed, ExitFailed, "that switches another machine", 2},
		{"mistyped", "cmp1\n", evacuate.DrillDone, ExitRefused, "nothing was done", 1},
		{"nothing typed", "", evacuate.DrillDone, ExitRefused, "nothing was typed", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newController()
			url := fencing(t, c, nil, func(h nova.HostName) (*evacuate.Drills, bool) {
				d := &evacuate.Drills{Host: h, Drilling: &evacuate.Drilling{Mark: evacuate.Mark{By: "ann", At: start}, Method: "pdu", Target: "plug 7", Stage: tt.ends, Since: start}}
				if tt.ends == evacuate.DrillFailed {
					d.Drilling.Text = tt.says
				} else {
					d.Drills = []evacuate.Drill{{Method: "pdu", Target: "plug 7", By: "ann", At: start, Off: 3 * time.Second, Silent: time.Second, On: 2 * time.Minute}}
				}
				return d, true
			})
			var out, errs bytes.Buffer
			root := Root(Hooks{})
			root.SetOut(&out)
			root.SetErr(&errs)
			root.SetIn(strings.NewReader(tt.typed))
			root.SetArgs([]string{"--api", url, "--token-file", secretFile(t, token), "fence", "drill", "cmp2", "--method", "pdu", "--reason", "new outlet"})
			err := root.Execute()
			if err != nil {
				errs.WriteString(err.Error())
			}
			if err == nil != (tt.code == 0) || err != nil && exitCode(err) != tt.code || !strings.Contains(out.String()+errs.String(), tt.says) {
				t.Errorf("%v\n%s%s", err, out.String(), errs.String())
			}
			if len(c.commands) != tt.sent || c.commands[0].Flag || c.commands[0].Word != "pdu" {
				t.Fatalf("%+v", c.commands)
			}
			if tt.sent == 2 && (!c.commands[1].Flag || c.commands[1].Typed != "cmp2" || c.commands[1].Reason != "new outlet") {
				t.Errorf("%+v", c.commands[1])
			}
		})
	}
}
