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
		path = above(path)
	}
	return place{1, 1}
}

// above is the path of what a key stands in.
func above(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

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
	if len(word) > 64 {
		return "", false
	}
	best, least := "", 1+max(1, len(word)/3)
	for _, k := range known {
		if n := distance(strings.ToLower(word), strings.ToLower(k)); n < least {
			best, least = k, n
		}
	}
	return best, best != ""
}

// distance is the number of letters to add, drop, change or swap with the next
// one (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = min(change, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
