package evacuate

import (
	"fmt"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Case is what is put before a person who is about to confirm a host dead.
type Case struct {
	Host     nova.HostName    `json:"host"`
	Boot     string           `json:"boot"`
	Verdict  detector.Verdict `json:"verdict"`
	Evidence []string         `json:"evidence"`
	// LastSign is the newest sign of life, and what it was.
	LastSign time.Time         `json:"last_sign,omitzero"`
	Sign     string            `json:"sign,omitempty"`
	Moves    []PlannedInstance `json:"instances"`
	Answers  []Answer          `json:"answers"`
	// Refused says why it would not be taken now.
	Refused string `json:"refused,omitempty"`
	now     time.Time
}

// Consider draws up the case of a host as things stand.
func Consider(host nova.HostName, by string, s *State, w World, p Policy) Case {
	word := fence.Word{By: by, Reason: "to be given", Typed: string(host)}
	life, v := vitals(host, &w), w.Verdicts[host]
	out := Case{Host: host, Boot: bootOf(s, &w, host), Verdict: v, Evidence: evidence(v), LastSign: life.at, Sign: life.what, now: w.Now}
	if _, err := Confirm(host, word, s, w, p); err != nil {
		out.Refused = err.Error()
	}
	out.Answers = (&Confirmation{Word: word, Boot: out.Boot}).answers(host, s, w, p)
	out.Moves = propose(host, s, &w, p, nil).Instances
	return out
}

// Text prints the case for a person.
func (c Case) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (boot %s): %s\n  %s\n\nEvidence\n", c.Host, orWord(c.Boot, "not known"), c.Verdict.State, c.Verdict.Detail)
	for _, e := range c.Evidence {
		fmt.Fprintf(&b, "  %s\n", e)
	}
	sign := "none was seen since this controller leads"
	if !c.LastSign.IsZero() {
		sign = fmt.Sprintf("%s, %s ago", c.Sign, round(c.now.Sub(c.LastSign)))
	}
	fmt.Fprintf(&b, "  last sign of life: %s\n\nInstances that would be started elsewhere\n", sign)
	for _, i := range c.Moves {
		if i.Move {
			fmt.Fprintf(&b, "  %s (%s, %s)\n", i.Name, i.ID, i.VMState)
		}
	}
	writeAnswers(&b, "Gates", c.Answers)
	b.WriteString("\nIf it runs after all, or is switched on again, THE SAME INSTANCES RUN TWICE and their disks are lost.\n" +
		"Cut its power by hand first: pull its plugs, or switch its feeds off and look.\n")
	if c.Refused != "" {
		fmt.Fprintf(&b, "\nIt would be refused now: %s\n", c.Refused)
	}
	return b.String()
}
