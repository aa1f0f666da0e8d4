package demo

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestDemo runs the whole site under the race detector: it fails if any server
// does not run exactly once, or if a third host is touched.
func TestDemo(t *testing.T) {
	var out strings.Builder
	if err := Run(context.Background(), Options{Out: &out, Dir: t.TempDir(), Limit: 4 * time.Minute}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"power cut", "kernel hang", "the cloud is whole"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not tell of %q:\n%s", want, out.String())
		}
	}
}
