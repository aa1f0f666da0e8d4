package evacuate

import (
	"slices"
	"testing"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestRefusedUnsent: what was never sent says nothing of the host that was named; an answer does.
func TestRefusedUnsent(t *testing.T) {
	for status, avoid := range map[int][]nova.HostName{0: nil, 403: {"cmp2"}, 409: {"cmp2"}} {
		n := Evacuation{State: EvacIntent, Attempt: 1, To: nova.Target{Host: "cmp2"}, Refusals: 1}
		aiming().refused(&n, Outcome{Definite: true, Cause: "nova-unknown", Detail: "read the evacuations", Answer: Answered{Status: status}})
		if n.State != EvacFailed || !slices.Equal(n.Avoid, avoid) || n.Free || n.Refusals != 0 || n.NotBefore.IsZero() {
			t.Errorf("status %d: %+v", status, n)
		}
	}
}
