package mutants

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// apply gives the source of m's file with the rule switched off.
func (m Mutant) apply() (string, error) {
	text, err := os.ReadFile(filepath.Join(root, m.File))
	if err != nil {
		return "", fmt.Errorf("mutant %q: %w", m.Name, err)
	}
	if n := strings.Count(string(text), m.Old); n != 1 {
		return "", fmt.Errorf("mutant %q: its text stands %d times in %s, want once: the rule has moved, move the mutant\n\t%s", m.Name, n, m.File, m.Old)
	}
	return strings.Replace(string(text), m.Old, m.New, 1), nil
}
