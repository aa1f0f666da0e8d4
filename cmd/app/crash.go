//go:build faults

package app

import (
	"os"
	"strings"
	"syscall"
)

// crashPoint kills this process at one named point, once for all controllers:
// LIFEBOAT_CRASH_AT="done:fence /path/of/marker". Only in builds for tests.
func crashPoint() func(string) {
	point, marker, ok := strings.Cut(os.Getenv("LIFEBOAT_CRASH_AT"), " ")
	if !ok {
		return nil
	}
	return func(at string) {
		if at != point {
			return
		}
		f, err := os.OpenFile(marker, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return
		}
		_ = f.Close()
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
