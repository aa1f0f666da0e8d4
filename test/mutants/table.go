package mutants

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	root      = "../.."
	tableFile = "docs/mutants.md"
	tableHead = "| switched off | rule | the test that notices |\n|---|---|---|\n"
)

// notAsked stands where a mutant is newer than the last run of `make mutants`.
const notAsked = "not asked yet"

// row is who notices one mutant, as `package` Test/case.
type row struct{ rule, by string }

// split takes a row's test apart into package and name; ok is false if no test is named.
func split(by string) (pkg, test string, ok bool) {
	pkg, test, ok = strings.Cut(strings.TrimPrefix(by, "`"), "` ")
	return "./" + pkg, test, ok && strings.HasPrefix(test, "Test")
}

// readTable reads docs/mutants.md, by the mutant's name.
func readTable() (map[string]row, error) {
	b, err := os.ReadFile(filepath.Join(root, tableFile))
	if err != nil {
		return nil, fmt.Errorf("read the table of mutants: %w", err)
	}
	_, body, ok := strings.Cut(string(b), tableHead)
	if !ok {
		return nil, fmt.Errorf("%s has no table that begins with\n%s", tableFile, tableHead)
	}
	rows := map[string]row{}
	for line := range strings.Lines(body) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 3 {
			return nil, fmt.Errorf("%s: not a row of three cells: %s", tableFile, line)
		}
		name := strings.TrimSpace(cells[0])
		if _, twice := rows[name]; twice {
			return nil, fmt.Errorf("%s: two rows for %q", tableFile, name)
		}
		rows[name] = row{cells[1], strings.TrimSpace(cells[2])}
	}
	return rows, nil
}
