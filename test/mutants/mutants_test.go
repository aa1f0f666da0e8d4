//go:build mutants

package mutants

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var table = flag.String("table", "", "write the table of who noticed to this file")

// TestMutants switches each rule off and wants a test to fail. A test that hangs
// has noticed too.
func TestMutants(t *testing.T) {
	type row struct{ mutant, rule, noticed string }
	var rows []row
	for _, m := range List() {
		t.Run(m.Name, func(t *testing.T) {
			overlay, err := m.overlay(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if out, err := tool(5*time.Minute, "build", "-overlay", overlay, "./..."); err != nil {
				t.Fatalf("the mutant does not compile: %s", out)
			}
			for _, pkg := range m.Tests {
				out, err := tool(12*time.Minute, "test", "-overlay", overlay, "-count=1", "-failfast", "-timeout=10m", pkg)
				if err == nil {
					continue
				}
				who := noticed(pkg, out)
				rows = append(rows, row{m.Name, m.Rule, who})
				t.Logf("%s: %s", m.Name, who)
				return
			}
			rows = append(rows, row{m.Name, m.Rule, "**nobody**"})
			t.Errorf("nobody notices when %s (rule %s)", m.Name, m.Rule)
		})
	}
	if *table == "" {
		return
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.rule, b.rule) })
	var b strings.Builder
	b.WriteString("| switched off | rule | the first to notice |\n|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.mutant, r.rule, r.noticed)
	}
	if err := os.WriteFile(*table, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func tool(limit time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Clean(root)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// noticed names the deepest test that failed first.
func noticed(pkg, out string) string {
	deepest := ""
	for _, f := range failed.FindAllStringSubmatch(out, -1) {
		if strings.Count(f[1], "/") >= strings.Count(deepest, "/") && (deepest == "" || strings.HasPrefix(f[1], deepest)) {
			deepest = f[1]
		}
	}
	if deepest == "" {
		deepest = "panic or time-out"
	}
	return "`" + strings.TrimPrefix(pkg, "./") + "` " + deepest
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
	original, err := filepath.Abs(filepath.Join("../..", m.File))
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
