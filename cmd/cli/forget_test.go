package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

// TestForget: what would be done is shown before the name is asked for, nothing but the
// name has it done, and a dry run never does.
func TestForget(t *testing.T) {
	c := newController()
	url := serve(t, c, api.Options{})
	file := secretFile(t, token)
	for name, tt := range map[string]struct {
		typed string
		args  []string
		shown bool // on the way to asking
		done  bool
	}{
		"typed":            {"cmp2\n", nil, true, true},
		"mistyped":         {"cmp1\n", nil, true, false},
		"nothing typed":    {"", nil, true, false},
		"given":            {"", []string{"--yes", "cmp2"}, false, true},
		"given wrong":      {"", []string{"--yes", "cmp1"}, false, false},
		"dry run":          {"cmp2\n", []string{"--dry-run"}, false, false},
		"dry run, and yes": {"", []string{"--dry-run", "--yes", "cmp2"}, false, false},
	} {
		c.commands = nil
		var out, errs bytes.Buffer
		root := Root(Hooks{})
		root.SetOut(&out)
		root.SetErr(&errs)
		root.SetIn(strings.NewReader(tt.typed))
		root.SetArgs(append([]string{"--api", url, "--token-file", file, "host", "forget", "cmp2", "--reason", "burnt"}, tt.args...))
		err := root.Execute()
		if strings.Contains(errs.String(), "Type the host's name") != tt.shown {
			t.Errorf("%s: %q", name, errs.String())
		}
		done := false
		for _, q := range c.commands {
			if q.Verb != api.VerbHostForget || q.Host != "cmp2" {
				t.Errorf("%s: sent %+v", name, q)
			}
			done = done || q.Flag && q.Typed == "cmp2" && q.Reason == "burnt"
		}
		if done != tt.done || (err != nil) != (!tt.done && !strings.HasPrefix(name, "dry")) {
			t.Errorf("%s: done %t, %v", name, done, err)
		}
	}
}
