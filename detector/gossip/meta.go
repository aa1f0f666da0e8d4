package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Role is what a member is.
type Role string

// Roles.
const (
	RoleAgent      Role = "agent"
	RoleController Role = "controller"
)

// ControllerPrefix stands before a controller's id in its member name. No
// host may be called so.
const ControllerPrefix = "controller/"

// ControllerName is the member name of a controller.
func ControllerName(id string) string { return ControllerPrefix + id }

// Meta is what each member says of itself; it rides in every rumour of its
// life. Nobody signs it: any holder of the ring's key can forge it.
type Meta struct {
	Role    Role
	Boot    string // the kernel's boot id: a new one means that the host restarted
	Start   string // this run of the process
	Domain  string // failure domain
	Version string
	Leaving bool // a stop was announced
}

const (
	metaVersion = 1
	metaMax     = 320 // of memberlist's 512
	maxText     = 96
)

const (
	flagLeaving = 1 << iota
	flagController
)

// Validate says whether it can travel.
func (m Meta) Validate() error {
	if m.Role != RoleAgent && m.Role != RoleController {
		return fmt.Errorf("gossip: role %q is neither %s nor %s", m.Role, RoleAgent, RoleController)
	}
	if m.Boot == "" || m.Start == "" {
		return errors.New("gossip: boot id and start id are needed")
	}
	for _, s := range []string{m.Boot, m.Start, m.Domain, m.Version} {
		if len(s) > maxText {
			return fmt.Errorf("gossip: %q is longer than %d bytes", s, maxText)
		}
	}
	if n := len(m.encode()); n > metaMax {
		return fmt.Errorf("gossip: boot, start, domain and version take %d bytes together, at most %d", n, metaMax)
	}
	return nil
}

func (m Meta) encode() []byte {
	var flags byte
	if m.Leaving {
		flags |= flagLeaving
	}
	if m.Role == RoleController {
		flags |= flagController
	}
	b := []byte{metaVersion, flags}
	for _, s := range []string{m.Boot, m.Start, m.Domain, m.Version} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// decodeMeta passes over what a newer member writes behind.
func decodeMeta(b []byte) (Meta, error) {
	if len(b) < 2 || b[0] != metaVersion {
		return Meta{}, errors.New("gossip: metadata of another make")
	}
	m := Meta{Role: RoleAgent, Leaving: b[1]&flagLeaving != 0}
	if b[1]&flagController != 0 {
		m.Role = RoleController
	}
	b = b[2:]
	for _, s := range []*string{&m.Boot, &m.Start, &m.Domain, &m.Version} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > maxText || n > uint64(len(b)-size) {
			return Meta{}, errors.New("gossip: metadata is cut short")
		}
		*s = string(b[size : size+int(n)])
		b = b[size+int(n):]
	}
	return m, nil
}

// roleFits says whether a member's name and its role agree.
func roleFits(name string, r Role) bool {
	return strings.HasPrefix(name, ControllerPrefix) == (r == RoleController)
}
