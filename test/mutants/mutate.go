package mutants

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// apply gives the source of m's file with the rule switched off.
func (m Mutant) apply() (string, error) {
	text, err := os.ReadFile(filepath.Join("../..", m.File))
	if err != nil {
		return "", fmt.Errorf("mutant %q: %w", m.Name, err)
	}
	if n := strings.Count(string(text), m.Old); n != 1 {
		return "", fmt.Errorf("mutant %q: its text stands %d times in %s, want once: the rule has moved, move the mutant\n\t%s", m.Name, n, m.File, m.Old)
	}
	return strings.Replace(string(text), m.Old, m.New, 1), nil
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
