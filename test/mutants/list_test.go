package mutants

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestListed holds the list against the source: each mutant still fits, and no
// gate is without one.
func TestListed(t *testing.T) {
	names := map[string]bool{}
	for _, m := range List() {
		if names[m.Name] {
			t.Errorf("two mutants are called %q", m.Name)
		}
		names[m.Name] = true
		if _, err := m.apply(); err != nil {
			t.Error(err)
		}
	}
	table, err := os.ReadFile(filepath.Join(root, "evacuate/gate.go"))
	if err != nil {
		t.Fatal(err)
	}
	gates := regexp.MustCompile(`(?m)^\t\{(Gate\w+),`).FindAllStringSubmatch(string(table), -1)
	if len(gates) < 17 {
		t.Fatalf("only %d gates found in the table of evacuate/gate.go", len(gates))
	}
	for _, g := range gates {
		found := false
		for _, m := range List() {
			found = found || m.File == "evacuate/gate.go" && strings.HasPrefix(m.Old, "{"+g[1]+",")
		}
		if !found {
			t.Errorf("no mutant switches %s off", g[1])
		}
	}
}

// TestTable holds docs/mutants.md complete: each mutant has its row, and what is
// named there exists. `make mutants` finds out who notices.
func TestTable(t *testing.T) {
	rows, err := readTable()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range List() {
		r, ok := rows[m.Name]
		if !ok {
			t.Errorf("%s has no row for %q: run `go test -tags mutants ./test/mutants -run 'Mutants/...' -args -table`", tableFile, m.Name)
			continue
		}
		delete(rows, m.Name)
		if r.rule != m.Rule {
			t.Errorf("%q: rule %s in the list, %s in %s", m.Name, m.Rule, r.rule, tableFile)
		}
		if r.by == notAsked {
			t.Logf("%q: %s", m.Name, notAsked)
			continue
		}
		if err := exists(r.by); err != nil {
			t.Errorf("%q: %v", m.Name, err)
		}
	}
	for name := range rows {
		t.Errorf("%s has a row for %q, which is no mutant", tableFile, name)
	}
}

// exists says whether the test that a row names is there.
func exists(by string) error {
	pkg, test, ok := split(by)
	if !ok {
		return fmt.Errorf("no test is named in %q", by)
	}
	name, sub, _ := strings.Cut(test, "/")
	if pkg == simulator && name == "TestScenarios" {
		_, err := os.Stat(filepath.Join(root, pkg, "scenarios", sub+".yaml"))
		return err
	}
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if strings.Contains(string(b), "\nfunc "+name+"(") {
			return nil
		}
	}
	return fmt.Errorf("%s has no %s", pkg, name)
}
