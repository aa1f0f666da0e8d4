package config

import "fmt"

// Document is another YAML file than a configuration, read as strictly as one.
type Document struct{ d *decoder }

// Read fills into, a pointer to a struct that holds the defaults. Its faults are
// given by Err, together with those that the caller finds.
func Read(name string, data []byte, into any) *Document {
	return &Document{decode(name, data, into)}
}

// Fault notes a mistake at a key such as faults[2].at.
func (d *Document) Fault(path, format string, args ...any) { d.d.fault(path, format, args...) }

// Given says that a key stands in the file.
func (d *Document) Given(path string) bool { return d.d.given(path) }

// Policy checks a policy that stands at the key policy.
func (d *Document) Policy(p Policy) { (&Controller{Policy: p}).checkPolicy(d.d) }

// Err gives all faults, nil if there are none.
func (d *Document) Err() error { return d.d.faults.orNil() }

// Item is the path of an item in a list.
func Item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
