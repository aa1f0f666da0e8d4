package demo

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

// TestDemo runs the whole site under the race detector: it fails if any server
// does not run exactly once, or if a third host is touched; or if one of its secrets
// stands anywhere but in the files that are meant to hold it.
func TestDemo(t *testing.T) {
	var out strings.Builder
	b := &betrayal{kept: t.TempDir(), secrets: map[string][]byte{}, shown: map[string][]byte{}}
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	t.Setenv("PATH", b.kept+":"+os.Getenv("PATH"))
	err := Run(context.Background(), Options{Out: &out, Dir: t.TempDir(), Limit: 4 * time.Minute, Level: slog.LevelDebug,
		prepare: func(s *site) error { return b.prepare(t, s) },
		look:    func(ctx context.Context, r *run) { b.look(ctx, t, r) }})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"power cut", "kernel hang", "the cloud is whole"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not tell of %q:\n%s", want, out.String())
		}
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left in the directory for temporary files: %v, %v", left, err)
	}
	b.show("the story", []byte(out.String()))
	b.files(t)
	b.judge(t)
}
