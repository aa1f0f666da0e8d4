package mutants

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
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

func join(pkg, test string) string { return "`" + strings.TrimPrefix(pkg, "./") + "` " + test }

// split takes apart what join made; ok is false if no test is named.
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

// writeTable keeps the text above the table, and drops rows of mutants that are no more.
func writeTable(rows map[string]row) error {
	path := filepath.Join(root, tableFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the table of mutants: %w", err)
	}
	text, _, _ := strings.Cut(string(b), tableHead)
	var lines []string
	listed := map[string]bool{}
	for _, m := range List() {
		listed[m.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if listed[name] {
			lines = append(lines, fmt.Sprintf("| %s | %s | %s |\n", name, rows[name].rule, rows[name].by))
		}
	}
	return os.WriteFile(path, []byte(text+tableHead+strings.Join(lines, "")), 0o600)
}
