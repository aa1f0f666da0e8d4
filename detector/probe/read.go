package probe

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// errNoNeighbour says that nobody owns an address on our link.
var errNoNeighbour = errors.New("nobody answers for it on the link")

// read tells what an error says of the host. What it says of ourselves, and
// whatever is not understood, is Failed.
func read(kind string, err error) (detector.Answer, string) {
	var timeout net.Error
	switch {
	case err == nil:
		return detector.Answered, answeredBy[kind]
	// A refusal is written by a kernel that runs.
	case kind == detector.ProbeTCP && is(err, syscall.ECONNREFUSED, syscall.ECONNRESET):
		return detector.Answered, "refused"
	// The neighbour did not resolve, or a router on the way says so. A host's
	// own firewall may say it too ("reject with icmp-host-prohibited"): then
	// this port was never answered, and its silence does not count.
	case unreachable(err):
		return detector.Silent, "host unreachable"
	case errors.Is(err, errNoNeighbour):
		return detector.Silent, errNoNeighbour.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), is(err, syscall.ETIMEDOUT),
		errors.As(err, &timeout) && timeout.Timeout():
		return detector.Silent, "no answer in time"
	}
	return detector.Failed, err.Error()
}

var answeredBy = map[string]string{
	detector.ProbeICMP:      "echo reply",
	detector.ProbeTCP:       "connected",
	detector.ProbeNeighbour: "resolved anew",
}

func unreachable(err error) bool { return is(err, syscall.EHOSTUNREACH, syscall.EHOSTDOWN) }

func is(err error, any ...syscall.Errno) bool {
	for _, e := range any {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
