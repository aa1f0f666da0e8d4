package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one mistake in a file: where it is, what it is, and how to mend it.
type Fault struct {
	File         string
	Line, Column int
	// Path is the key, such as hosts[3].bmc[0].address; "" for the whole file.
	Path    string
	Message string
}

// Error is one line: file:line:column: key: message.
func (f Fault) Error() string {
	where := fmt.Sprintf("%s:%d:%d: ", f.File, f.Line, f.Column)
	if f.Path != "" {
		where += f.Path + ": "
	}
	return where + f.Message
}

// Faults are all mistakes of one file, in its order.
type Faults []Fault

// Error is one line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each fault by itself.
func (f Faults) Unwrap() []error {
	list := make([]error, len(f))
	for i, fault := range f {
		list[i] = fault
	}
	return list
}

func (f Faults) orNil() error {
	if len(f) == 0 {
		return nil
	}
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return f
}

// place is a position in a file, from 1.
type place struct{ line, column int }

// source remembers where each key stood, for faults found after decoding.
type source struct {
	file   string
	places map[string]place
}

// find gives the place of a key, or of the nearest one around it.
func (s source) find(path string) place {
	for path != "" {
		if p, ok := s.places[path]; ok {
			return p
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return place{1, 1}
}

func (s source) fault(path, format string, args ...any) Fault {
	p := s.find(path)
	return Fault{File: s.file, Line: p.line, Column: p.column, Path: path, Message: fmt.Sprintf(format, args...)}
}

// key and item make the path of a key in a mapping and of an item in a list.
func key(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// nearest is the known word that was probably meant, if there is one.
func nearest(word string, known []string) (string, bool) {
	best, least := "", 1+max(1, len(word)/3)
	for _, k := range known {
		if n := distance(strings.ToLower(word), strings.ToLower(k)); n < least {
			best, least = k, n
		}
	}
	return best, best != ""
}

// distance is the number of letters to add, drop or change (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
