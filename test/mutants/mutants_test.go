//go:build mutants

package mutants

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var keep = flag.Bool("table", false, "write who noticed into "+tableFile)

// TestMutants switches each rule off and wants a test to fail: first the one that
// the table names, then all. A test that hangs has noticed too.
func TestMutants(t *testing.T) {
	known, err := readTable()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range List() {
		t.Run(m.Name, func(t *testing.T) {
			overlay, err := m.overlay(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			who := m.noticed(t, overlay, known[m.Name].by)
			if who == "" {
				t.Fatalf("nobody notices when %s (rule %s)", m.Name, m.Rule)
			}
			t.Logf("%s: %s", m.Name, who)
			if !*keep {
				return
			}
			known[m.Name] = row{m.Rule, who}
			if err := writeTable(known); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// noticed names the first test that fails; "" if none does.
func (m Mutant) noticed(t *testing.T, overlay, likely string) string {
	t.Helper()
	if pkg, test, ok := split(likely); ok && slices.Contains(m.Tests, pkg) {
		if fails(t, overlay, pkg, pattern(test)) != "" {
			return likely
		}
	}
	for _, pkg := range m.Tests {
		runs := []string{"."}
		if pkg == simulator {
			runs = []string{"Scenarios", "."} // schedules are drawn: a scenario is the better witness
		}
		for _, run := range runs {
			if who := fails(t, overlay, pkg, run); who != "" {
				return who
			}
		}
	}
	return ""
}

// fails runs tests of a package on the mutant, and names one that failed.
func fails(t *testing.T, overlay, pkg, run string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	// Far above what a package takes even on a busy machine: a test that only ran
	// out of time has noticed nothing.
	cmd := exec.CommandContext(ctx, "go", "test", "-overlay", overlay, "-vet=off", "-count=1", "-failfast", "-timeout=14m", "-run", run, pkg)
	cmd.Dir = filepath.Clean(root)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	if strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "[setup failed]") {
		t.Fatalf("the mutant does not compile: %s", out)
	}
	return deepest(pkg, string(out))
}

var (
	failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	hung   = regexp.MustCompile(`(?m)^\s*running tests:\n\s*(\S+)`)
)

// deepest names the deepest test that failed first.
func deepest(pkg, out string) string {
	deepest := ""
	for _, f := range failed.FindAllStringSubmatch(out, -1) {
		if strings.Count(f[1], "/") >= strings.Count(deepest, "/") && (deepest == "" || strings.HasPrefix(f[1], deepest+"/")) {
			deepest = f[1]
		}
	}
	if h := hung.FindStringSubmatch(out); h != nil {
		deepest = cmp.Or(deepest, h[1])
	}
	if deepest == "" {
		return "`" + strings.TrimPrefix(pkg, "./") + "` (panic or time-out)"
	}
	return join(pkg, deepest)
}

// pattern is what -run wants for exactly one test.
func pattern(test string) string {
	names := strings.Split(test, "/")
	for i, n := range names {
		names[i] = "^" + regexp.QuoteMeta(n) + "$"
	}
	return strings.Join(names, "/")
}

// overlay writes what `go test -overlay` needs into dir.
func (m Mutant) overlay(dir string) (string, error) {
	text, err := m.apply()
	if err != nil {
		return "", err
	}
	source := filepath.Join(dir, "mutant.go")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		return "", err
	}
	original, err := filepath.Abs(filepath.Join(root, m.File))
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{original: source}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}

func join(pkg, test string) string { return "`" + strings.TrimPrefix(pkg, "./") + "` " + test }

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
