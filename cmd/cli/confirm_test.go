package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

// TestConfirmDead: the case is shown before the name is asked for, and nothing but
// the name gives the word.
func TestConfirmDead(t *testing.T) {
	c := newController()
	url := serve(t, c, api.Options{})
	file := secretFile(t, token)
	for typed, given := range map[string]bool{"cmp2\n": true, " cmp2 \n": true, "cmp2": true, "cmp1\n": false, "y\n": false, "\n": false, "": false} {
		c.commands = nil
		var out, errs bytes.Buffer
		root := Root(Hooks{})
		root.SetOut(&out)
		root.SetErr(&errs)
		root.SetIn(strings.NewReader(typed))
		root.SetArgs([]string{"--api", url, "--token-file", file, "confirm-dead", "cmp2", "--reason", "burnt"})
		err := root.Execute()
		if len(c.commands) == 0 || c.commands[0].Flag || c.commands[0].Host != "cmp2" || !strings.Contains(errs.String(), "done: confirm-dead\nType the host's name") {
			t.Fatalf("%q: the case was not shown: %+v, %q", typed, c.commands, errs.String())
		}
		if given != (err == nil) || given != (len(c.commands) == 2) {
			t.Errorf("%q: %v, sent %+v", typed, err, c.commands)
		}
		if given && (!c.commands[1].Flag || c.commands[1].Word != "cmp2" || c.commands[1].Reason != "burnt") {
			t.Errorf("%q: sent %+v", typed, c.commands[1])
		}
		if !given && exitCode(err) != ExitRefused {
			t.Errorf("%q: exit code %d", typed, exitCode(err))
		}
	}
}
