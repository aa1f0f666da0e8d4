package mutants

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

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
