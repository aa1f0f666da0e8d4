//go:build faults

package app

import (
	"os"
	"strings"
	"syscall"
)

// crashPoint kills this process at one named point, once: the file that
// LIFEBOAT_CRASH_FILE names holds the point ("done:fence") and is renamed by the
// controller that dies of it. Only in builds for tests.
func crashPoint() func(string) {
	file := os.Getenv("LIFEBOAT_CRASH_FILE")
	if file == "" {
		return nil
	}
	return func(at string) {
		b, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(b)) != at || os.Rename(file, file+".hit") != nil {
			return
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
