// Package service looks for a host's own services: whether the process of
// nova-compute runs beside the agent, and whether the units that an operator names are
// well. It restarts these where they have failed, and stops nothing; its word is a
// finding for people, never a verdict.
package service

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// States of a process.
const (
	Up      = "up"
	Down    = "down"
	Unknown = "unknown" // /proc could not be read
)

// Process tells whether a process of that name runs in the agent's own network
// namespace: on a machine with several hosts (a lab, containers) each looks for
// its own. It looks at the first words of the command line, since nova-compute
// is a Python script. The kernel shows the namespace of another user's process only to
// whoever may trace it (proc_pid_ns(5)): without CAP_SYS_PTRACE, as the agent's unit has
// it, that process is taken for this host's.
func Process(proc, name string) string { return process(proc, name, os.Readlink) }

func process(proc, name string, readlink func(string) (string, error)) string {
	own, err := readlink(filepath.Join(proc, "self", "ns", "net"))
	if err != nil {
		return Unknown
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return Unknown
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil || !named(filepath.Join(proc, e.Name(), "cmdline"), name) {
			continue
		}
		ns, err := readlink(filepath.Join(proc, e.Name(), "ns", "net"))
		if errors.Is(err, fs.ErrPermission) || err == nil && ns == own {
			return Up
		}
	}
	return Down
}

// named looks at the program and, for an interpreter, at its script.
func named(cmdline, name string) bool {
	b, err := os.ReadFile(cmdline)
	if err != nil {
		return false
	}
	for i, arg := range bytes.Split(b, []byte{0}) {
		if i > 2 {
			break
		}
		if filepath.Base(string(arg)) == name {
			return true
		}
	}
	return false
}
