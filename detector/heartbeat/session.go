package heartbeat

import "slices"

// session is what one end remembers of the other's runs, so that no datagram
// counts twice. Networks reorder: a window of 64 numbers below the newest is
// still open, each once.
type session struct {
	start   string // the other's present run; "" before the first
	top     uint64
	seen    uint64   // bit i: top-i was seen
	retired []string // former runs, newest first: they never come back
}

const keptRuns = 32

type freshness int

const (
	fresh freshness = iota
	replayed
	newRun // unknown start id: needs the proof of an echo
)

func (s *session) judge(start string, seq uint64) freshness {
	switch {
	case start != s.start && slices.Contains(s.retired, start):
		return replayed
	case start != s.start:
		return newRun
	case seq > s.top:
		return fresh
	case s.top-seq >= 64 || s.seen&(1<<(s.top-seq)) != 0:
		return replayed
	}
	return fresh
}

// accept notes a number of the present run that judge has called fresh.
func (s *session) accept(seq uint64) (newest bool) {
	if seq <= s.top {
		s.seen |= 1 << (s.top - seq)
		return false
	}
	if shift := seq - s.top; shift < 64 {
		s.seen <<= shift
	} else {
		s.seen = 0
	}
	s.top, s.seen = seq, s.seen|1
	return true
}

// adopt begins a new run that has proved itself.
func (s *session) adopt(start string) {
	if s.start != "" {
		s.retired = append([]string{s.start}, s.retired...)
		s.retired = s.retired[:min(len(s.retired), keptRuns)]
	}
	s.start, s.top, s.seen = start, 0, 0
}

// recent is how many of our newest datagrams an echo may lag behind.
const recent = 64

// proves says that a datagram that echoes this was written by somebody who has
// just heard us, and so is no recording of another day.
func proves(d datagram, ourStart string, ourSeq uint64) bool {
	return d.echo == ourStart && d.echoed != 0 && d.echoed <= ourSeq && ourSeq-d.echoed < recent
}
