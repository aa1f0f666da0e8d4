package detector

import (
	"os"
	"strings"
	"testing"
)

// TestDocumented finds each word that an operator may meet in docs/decisions.md.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, s := range States {
		words = append(words, string(s))
	}
	for _, r := range Reasons {
		words = append(words, string(r))
	}
	for _, r := range CloudReasons {
		words = append(words, string(r))
	}
	for _, c := range Conditions {
		words = append(words, string(c))
	}
	for _, m := range Meanings {
		words = append(words, string(m))
	}
	for n, g := range Grades {
		words = append(words, string(n), string(g))
	}
	for _, w := range words {
		if !strings.Contains(string(b), "`"+w+"`") {
			t.Errorf("docs/decisions.md does not tell of %s", w)
		}
	}
	for combination, means := range DefaultMatrix() {
		if !strings.Contains(string(b), combination+": "+string(means)+"\n") {
			t.Errorf("docs/decisions.md shows no default for %s: %s", combination, means)
		}
	}
}
