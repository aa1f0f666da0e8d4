package fence_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// The same machine in the orders of bytes that are met: SMBIOS as Linux prints it,
// as it stands in the table, and IPMI's.
const (
	printed   = "4c4c4544-0035-3010-8052-b7c04f4e4d32"
	table     = "44454c4c-3500-1030-8052-b7c04f4e4d32"
	ipmiOrder = "324d4e4fc0b752801030350044454c4c"
)

func machine(uuid, serial string) fence.Identity { return fence.Identity{UUID: uuid, Serial: serial} }

func TestRecognise(t *testing.T) {
	const a, b, c = "11111111-2222-4333-8444-555566667777", "aaaaaaaa-2222-4333-8444-555566667777", "99999999-2222-4333-8444-555566667777"
	guess := func(uuid string) fence.Identity { return fence.Identity{UUID: uuid, Guess: true} }
	type hosts = map[string]fence.Identity
	two := hosts{"h1": machine(a, "SN-0001"), "h2": machine(b, "SN-0002")}
	for _, tt := range []struct {
		name    string
		hosts   hosts
		bmc     fence.Identity
		match   fence.Match
		owner   string
		because string
	}{
		{"the UUID", two, machine(a, ""), fence.Same, "", a},
		{"the UUID in capitals", two, machine(strings.ToUpper(a), ""), fence.Same, "", a},
		{"as Linux prints it", hosts{"h1": machine(printed, "")}, machine(printed, ""), fence.Same, "", printed},
		{"as it stands in the table", hosts{"h1": machine(printed, "")}, machine(table, ""), fence.Same, "", printed},
		{"as IPMI sends it", hosts{"h1": machine(printed, "")}, guess(ipmiOrder), fence.Same, "", printed},
		{"the other way round", hosts{"h1": machine(ipmiOrder, "")}, machine(table, ""), fence.Same, "", "UUID"},
		{"the serial number alone", two, machine("", " sn-0001 "), fence.Same, "", "SN-0001"},
		{"the chassis' where the system's is asked", hosts{"h1": {Chassis: "CH-77"}}, machine("", "CH-77"), fence.Same, "", "CH-77"},
		{"another serial, the same UUID", two, machine(a, "CHASSIS-9"), fence.Same, "", a},

		{"the other host's", two, machine(b, "SN-0002"), fence.Different, "h2", "that of h2"},
		{"the other's serial number alone", two, machine("", "SN-0002"), fence.Different, "h2", "that of h2"},
		{"the other's GUID", two, guess(b), fence.Different, "h2", "that of h2"},
		{"nobody's", two, machine(c, "SN-0003"), fence.Different, "", c},
		{"nobody's UUID", two, machine(c, ""), fence.Different, "", "another machine's"},
		{"nobody's serial number", two, machine("", "SN-0003"), fence.Different, "", "another machine's"},
		{"the other's, and our agent is silent", hosts{"h2": machine(b, "")}, machine(b, ""), fence.Different, "h2", "that of h2"},

		{"nothing", two, fence.Identity{}, fence.Unreadable, "", "neither"},
		{"zeros", two, machine("00000000-0000-0000-0000-000000000000", "To be filled by O.E.M."), fence.Unreadable, "", "neither"},
		{"ones", two, machine("ffffffff-ffff-ffff-ffff-ffffffffffff", "0000000"), fence.Unreadable, "", "neither"},
		{"a UUID that all boards of a maker have", two, machine("03000200-0400-0500-0006-000700080009", "Default string"), fence.Unreadable, "", "neither"},
		{"no UUID at all", two, machine("n/a", "N/A"), fence.Unreadable, "", "neither"},
		{"our agent says nothing", hosts{"h2": machine(b, "")}, machine(a, ""), fence.Unreadable, "", "its agent has not said"},
		{"our agent says zeros", hosts{"h1": machine("00000000-0000-0000-0000-000000000000", "none"), "h2": machine(b, "")}, machine(a, ""), fence.Unreadable, "", "its agent has not said"},
		{"two hosts have the UUID", hosts{"h1": machine(a, ""), "h2": machine(a, "")}, machine(a, ""), fence.Unreadable, "", "several hosts"},
		{"two hosts have it in other orders", hosts{"h1": machine(printed, ""), "h2": machine(table, "")}, machine(printed, ""), fence.Unreadable, "", "several hosts"},
		{"two hosts have the UUID, and the BMC another", hosts{"h1": machine(a, ""), "h2": machine(a, "")}, machine(c, ""), fence.Unreadable, "", "nothing to compare"},
		{"two hosts have the UUID, not the serial number", hosts{"h1": machine(a, "SN-0001"), "h2": machine(a, "SN-0002")}, machine(a, "SN-0001"), fence.Same, "", "SN-0001"},
		{"two hosts stand in one chassis", hosts{"h1": {Chassis: "CH-77"}, "h2": {Chassis: "CH-77"}}, machine("", "CH-77"), fence.Unreadable, "", "nothing to compare"},
		{"a GUID that is nobody's", two, guess(c), fence.Unreadable, "", "GUID"},
		{"a GUID that is nobody's, with another serial", two, fence.Identity{UUID: c, Guess: true, Serial: "SN-0003"}, fence.Different, "", "another machine's"},
		{"its serial number and another UUID", two, machine(c, "SN-0001"), fence.Unreadable, "", "the UUID is not"},
		{"its serial number and the other's UUID", two, machine(b, "SN-0001"), fence.Unreadable, "", "partly"},
	} {
		got := fence.NewRegister(tt.hosts, nil).Recognise("h1", tt.bmc)
		if got.Match != tt.match || got.Owner != tt.owner || !strings.Contains(got.Why, tt.because) {
			t.Errorf("%s: %+v, want %s of %q because %q", tt.name, got, tt.match, tt.owner, tt.because)
		}
	}
}

// A controller's machine is named whatever the host's comparison says.
func TestRecogniseController(t *testing.T) {
	const a, b = "11111111-2222-4333-8444-555566667777", "aaaaaaaa-2222-4333-8444-555566667777"
	r := fence.NewRegister(map[string]fence.Identity{"h1": machine(a, ""), "h2": machine(b, "")},
		map[string]fence.Identity{"ctl1": machine(b, ""), "ctl2": machine("", "SN-9"), "ctl3": {}})
	for _, tt := range []struct {
		bmc  fence.Identity
		want string
	}{{machine(a, ""), ""}, {machine(b, ""), "ctl1"}, {machine("", "SN-9"), "ctl2"}, {fence.Identity{}, ""}} {
		if got := r.Recognise("h2", tt.bmc); got.Controller != tt.want {
			t.Errorf("%s: controller %q, want %q", tt.bmc, got.Controller, tt.want)
		}
	}
}

// checker is a bmc that says whose it is as it is commanded.
type checker struct {
	*bmc
	says fence.Identity
}

func (c checker) OffIf(ctx context.Context, accept func(fence.Identity) error) error {
	if err := accept(c.says); err != nil {
		return &fence.Error{Method: c.name, Doing: "power off", Cause: fence.CauseIdentity, Refused: true, Err: err}
	}
	return c.Off(ctx)
}

// TestAccept: a machine that is refused gets no command and no reading, and the next
// link is tried.
func TestAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := checker{&bmc{name: "redfish", looks: []answer{off}}, machine("", "SN-0002")}
		right := checker{&bmc{name: "ipmi", looks: []answer{off}}, machine("", "SN-0001")}
		accept := func(id fence.Identity) error {
			if id.Serial != "SN-0001" {
				return errors.New("of h2")
			}
			return nil
		}
		c := fence.Chain{Clock: clock{}, Links: []fence.Link{{Method: wrong, Accept: accept}, {Method: right, Accept: accept}}}
		proof, attempts, err := c.Off(t.Context(), "h1", "b1", func(context.Context) error { return nil })
		if err != nil || !proof.Covers("h1", "b1") || proof.Record().Method != "ipmi" {
			t.Errorf("%v, %+v", err, attempts)
		}
		if len(wrong.events) > 0 || attempts[0].Cause != fence.CauseIdentity || !strings.Contains(attempts[0].Err, "of h2") {
			t.Errorf("the other machine's BMC: %q, %+v", wrong.events, attempts[0])
		}
	})
}
