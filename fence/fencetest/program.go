package fencetest

import (
	"os"
	"syscall"
	"testing"
)

// Write writes a file that tests execute. It holds off whatever forks meanwhile: a
// child that has the file open for writing keeps everybody from executing it (ETXTBSY).
func Write(t testing.TB, path, content string, mode os.FileMode) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}
