package fence

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Identity is what a machine says it is in its SMBIOS tables (DMI), or what its
// BMC says the machine is. Empty fields are not known.
type Identity struct {
	// UUID is in the byte order of whoever wrote it: Register compares them all.
	UUID string `json:"uuid,omitempty"`
	// Serial is the system's, Board and Chassis those of its parts.
	Serial  string `json:"serial,omitempty"`
	Board   string `json:"board,omitempty"`
	Chassis string `json:"chassis,omitempty"`
	// Guess says that UUID is IPMI's system GUID, which should be that of SMBIOS
	// (IPMI 2.0, 20.8) and on some boards is something else.
	Guess bool `json:"guess,omitempty"`
}

// Identifier is a Method that can say which machine it switches. The error is an
// *Error; a BMC that answers without saying it gives the zero Identity.
type Identifier interface {
	Identity(ctx context.Context) (Identity, error)
}

// Checker is a Method that looks which machine it is about to switch as the last
// thing before off. accept gets the zero Identity where the BMC does not tell; its
// error keeps the command back.
type Checker interface {
	OffIf(ctx context.Context, accept func(Identity) error) error
}

// Certified is a Method whose device shows a certificate.
type Certified interface {
	// Expires is when the device's last certificate, or one that vouches for it, ends;
	// zero: none was seen, or nothing hangs on its end (a pinned one).
	Expires() time.Time
}

// longest bounds a field: SMBIOS strings end at 64 bytes in practice.
const longest = 64

// Clean leaves out what tells no machine from another, and writes the rest one way.
func (i Identity) Clean() Identity {
	i.UUID = cleanUUID(i.UUID)
	for _, s := range []*string{&i.Serial, &i.Board, &i.Chassis} {
		*s = cleanSerial(*s)
	}
	i.Guess = i.Guess && i.UUID != ""
	return i
}

// Known says that something of it tells machines apart.
func (i Identity) Known() bool { c := i.Clean(); return c.UUID != "" || len(c.serials()) > 0 }

// String names what is known, the best first.
func (i Identity) String() string {
	var said []string
	for _, f := range []struct{ name, value string }{{"UUID", i.UUID}, {"serial", i.Serial}, {"board", i.Board}, {"chassis", i.Chassis}} {
		if f.value != "" {
			said = append(said, f.name+" "+f.value)
		}
	}
	if len(said) == 0 {
		return "nothing"
	}
	return strings.Join(said, ", ")
}

func (i Identity) serials() []string {
	var all []string
	for _, s := range []string{i.Serial, i.Board, i.Chassis} {
		if s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// placeholders are what boards say that nobody gave a number.
var placeholders = []string{"to be filled by o.e.m.", "to be filled by oem", "default string", "not specified", "not available",
	"not applicable", "system serial number", "base board serial number", "chassis serial number", "serial number", "unknown", "none",
	"invalid", "empty", "0123456789", "1234567890", "123456789", "o.e.m."}

// sameOnAll are UUIDs that a maker gave to all its boards.
var sameOnAll = []string{"03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009"}

func cleanSerial(s string) string {
	s = strings.ToUpper(strings.Join(strings.Fields(s), " "))
	const shortest = 4
	if len(s) < shortest || len(s) > longest || slices.Contains(placeholders, strings.ToLower(s)) || strings.Trim(s, s[:1]) == "" {
		return ""
	}
	return s
}

func cleanUUID(s string) string {
	b, ok := uuidBytes(s)
	if !ok {
		return ""
	}
	u := uuidText(b)
	// All bytes alike: 00 and ff mean not set, and the others are no better.
	if strings.Trim(string(b), string(b[:1])) == "" || slices.Contains(sameOnAll, u) {
		return ""
	}
	return u
}

// uuidMarks are left out of a UUID; made once, for every tick reads one per host.
var uuidMarks = strings.NewReplacer("-", "", "{", "", "}", "")

func uuidBytes(s string) ([]byte, bool) {
	s = uuidMarks.Replace(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "urn:uuid:"))
	b, err := hex.DecodeString(s)
	return b, err == nil && len(b) == 16
}

func uuidText(b []byte) string {
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// orderless is the same for a UUID in each order of bytes that SMBIOS (before and
// from 2.6: the first three fields turned), IPMI (all turned) and those who mix
// them up give it.
func orderless(uuid string) string {
	b, ok := uuidBytes(uuid)
	if !ok {
		return ""
	}
	least := ""
	for way := range 8 { // all that these two turns make of it, in any order
		c := slices.Clone(b)
		if way&1 != 0 {
			turn(c[0:4], c[4:6], c[6:8])
		}
		if way&2 != 0 {
			turn(c[12:16], c[10:12], c[8:10])
		}
		if way&4 != 0 {
			turn(c)
		}
		if t := string(c); least == "" || t < least {
			least = t
		}
	}
	return least
}

func turn(fields ...[]byte) {
	for _, f := range fields {
		slices.Reverse(f)
	}
}

// Match is how the machine behind a BMC compares with the host that the inventory
// gives the BMC to.
type Match string

// Matches.
const (
	Same       Match = "match"
	Different  Match = "mismatch"
	Unreadable Match = "unreadable" // one of both says too little, or what others say too
)

// Recognition is what a Register says of a BMC.
type Recognition struct {
	Match Match `json:"match"`
	// Owner is the other host whose machine it is, "" if none says so.
	Owner string `json:"owner,omitempty"`
	// Controller is the id of the controller that runs on the machine, "" if none.
	Controller string `json:"controller,omitempty"`
	// Why is for people.
	Why string `json:"why"`
}

// Register knows the machines by what they say of themselves.
type Register struct {
	hosts       map[string]Identity
	uuids       map[string][]string // hosts by UUID, whatever its order
	serials     map[string][]string
	controllers map[string]Identity
}

// NewRegister takes the machines of hosts and of controllers, by name. A
// controller may run on a host's machine.
func NewRegister(hosts, controllers map[string]Identity) *Register {
	r := &Register{hosts: map[string]Identity{}, uuids: map[string][]string{}, serials: map[string][]string{}, controllers: map[string]Identity{}}
	for name, i := range hosts {
		i = i.Clean()
		r.hosts[name] = i
		if i.UUID != "" {
			key := orderless(i.UUID)
			r.uuids[key] = append(r.uuids[key], name)
		}
		for _, s := range i.serials() {
			r.serials[s] = append(r.serials[s], name)
		}
	}
	for _, index := range []map[string][]string{r.uuids, r.serials} {
		for _, names := range index {
			slices.Sort(names)
		}
	}
	for id, i := range controllers {
		r.controllers[id] = i.Clean()
	}
	return r
}

// Recognise compares what the BMC of a host says with what the machines say.
func (r *Register) Recognise(host string, bmc Identity) Recognition {
	bmc = bmc.Clean()
	mine := r.hosts[host]
	out := Recognition{Match: Unreadable, Controller: r.controller(bmc)}
	byUUID, bySerial := r.uuids[orderless(bmc.UUID)], r.owners(bmc)
	shared := len(byUUID) > 1
	if shared { // a number of several machines is none
		byUUID, bmc.UUID = nil, ""
	}
	switch {
	case !bmc.Known() && shared:
		out.Why = "its UUID is that of several hosts"
	case !bmc.Known():
		out.Why = "its BMC says neither a UUID nor a serial number that tells machines apart"
	case !mine.Known():
		if out.Owner = other(host, byUUID, bySerial); out.Owner != "" {
			out.Match, out.Why = Different, fmt.Sprintf("its BMC is that of %s (%s)", out.Owner, bmc)
			break
		}
		out.Why = "its agent has not said on which machine it runs"
	default:
		r.compare(&out, host, bmc, byUUID, bySerial)
	}
	return out
}

// compare judges where both sides say something.
func (r *Register) compare(out *Recognition, host string, bmc Identity, byUUID, bySerial []string) {
	mine := r.hosts[host]
	if len(r.uuids[orderless(mine.UUID)]) > 1 {
		mine.UUID = ""
	}
	uuids := bmc.UUID != "" && mine.UUID != ""
	sameUUID, sameSerial := slices.Contains(byUUID, host), slices.Contains(bySerial, host)
	out.Owner = other(host, byUUID, bySerial)
	switch {
	case out.Owner != "" && (sameUUID || sameSerial):
		out.Why = fmt.Sprintf("what its BMC says (%s) is partly that of %s and partly its own (%s)", bmc, out.Owner, mine)
		out.Owner = ""
	case out.Owner != "":
		out.Match, out.Why = Different, fmt.Sprintf("its BMC is that of %s (%s); %s itself is %s", out.Owner, bmc, host, mine)
	case sameUUID:
		out.Match, out.Why = Same, "UUID "+mine.UUID
	case uuids && sameSerial:
		out.Why = fmt.Sprintf("its BMC's serial number is its own and the UUID is not: %s there, %s here", bmc, mine)
	case sameSerial:
		out.Match, out.Why = Same, "serial number "+strings.Join(bySerialOf(bmc, mine), ", ")
	case uuids && bmc.Guess && !bmc.contradicts(mine):
		out.Why = fmt.Sprintf("its BMC's GUID %s is not its UUID %s, and no serial number tells more", bmc.UUID, mine.UUID)
	case uuids || bmc.contradicts(mine):
		out.Match, out.Why = Different, fmt.Sprintf("its BMC is another machine's: %s there, %s here", bmc, mine)
	default:
		out.Why = fmt.Sprintf("its BMC says %s, its agent %s: nothing to compare", bmc, mine)
	}
}

// owners are the hosts that a serial number of the BMC belongs to alone.
func (r *Register) owners(bmc Identity) []string {
	var all []string
	for _, s := range bmc.serials() {
		if names := r.serials[s]; len(names) == 1 && !slices.Contains(all, names[0]) {
			all = append(all, names[0])
		}
	}
	return all
}

func (r *Register) controller(bmc Identity) string {
	var ids []string
	for id, i := range r.controllers {
		uuid := i.UUID != "" && bmc.UUID != "" && orderless(i.UUID) == orderless(bmc.UUID)
		if uuid || (i.UUID == "" || bmc.UUID == "") && len(bySerialOf(bmc, i)) > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return strings.Join(ids, ", ")
}

func other(host string, lists ...[]string) string {
	for _, names := range lists {
		for _, n := range names {
			if n != host {
				return n
			}
		}
	}
	return ""
}

// bySerialOf lists the serial numbers that both have, of whatever part: makers
// put the chassis' where another puts the system's.
func bySerialOf(a, b Identity) []string {
	var both []string
	for _, s := range a.serials() {
		if slices.Contains(b.serials(), s) {
			both = append(both, s)
		}
	}
	return both
}

// contradicts says that a number of the same part differs.
func (i Identity) contradicts(j Identity) bool {
	for _, p := range [][2]string{{i.Serial, j.Serial}, {i.Board, j.Board}, {i.Chassis, j.Chassis}} {
		if p[0] != "" && p[1] != "" && p[0] != p[1] {
			return true
		}
	}
	return false
}
