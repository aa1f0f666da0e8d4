package fence

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Facts of a proof by power readings (docs/safety.md rule 1).
const (
	// MinReadings is how many exact off readings a proof needs.
	MinReadings = 2
	// MinSpacing is the least time between the first and the last of them:
	// BMCs cache, and report a state they are about to reach.
	MinSpacing = time.Second
)

// Proof says that one host, in one boot, is off. It is made only by Prove and
// Confirm, so whoever takes a Proof as an argument cannot be called without one.
type Proof struct {
	rec Record
}

// Record is the evidence of a proof as the ledger keeps it.
type Record struct {
	Host string `json:"host"`
	Boot string `json:"boot"`
	// Method that commanded off, and when the command was about to be sent.
	Method    string    `json:"method"`
	Commanded time.Time `json:"commanded"`
	Readings  []Reading `json:"readings"`
	// Feeds is how many feeds the machine has where each is read alone: all of them
	// must read off in each reading. 0: there is one power.
	Feeds int `json:"feeds,omitempty"`
	// Word is a person's, in the place of command and readings.
	Word *Word `json:"word,omitempty"`
	// By is the other controller that commanded and read, for the leader; "": itself.
	By string `json:"by,omitempty"`
	// Took is the time from the chain's start to the last reading.
	Took time.Duration `json:"took"`
	// Expiry is that of the host's watchdog, in the place of command and readings.
	Expiry *Expiry `json:"expiry,omitempty"`
}

// ErrNoProof is wrapped by every refusal to make a proof.
var ErrNoProof = errors.New("no proof of power off")

// Prove makes a Proof of evidence, or says what is missing: at least
// MinReadings consecutive exact off readings of one method, the first and last
// at least MinSpacing apart, each begun after off was commanded; or a person's
// word that was good when it was given.
func Prove(rec Record) (Proof, error) {
	if rec.Host == "" {
		return Proof{}, fmt.Errorf("%w: host missing", ErrNoProof)
	}
	switch {
	case rec.By != "" && (rec.Word != nil || rec.Expiry != nil):
		return Proof{}, fmt.Errorf("%w: by %s, who commanded nothing", ErrNoProof, rec.By)
	case rec.Word != nil && rec.Expiry != nil:
		return Proof{}, fmt.Errorf("%w: an operator's word and a watchdog's expiry in one", ErrNoProof)
	case rec.Word != nil:
		return proveWord(rec)
	case rec.Expiry != nil:
		return proveExpiry(rec)
	}
	if rec.Commanded.IsZero() {
		return Proof{}, fmt.Errorf("%w: off was never commanded", ErrNoProof)
	}
	if len(rec.Readings) < MinReadings {
		return Proof{}, fmt.Errorf("%w: %d readings, %d needed", ErrNoProof, len(rec.Readings), MinReadings)
	}
	for i, r := range rec.Readings {
		switch {
		case r.Method != rec.Method:
			return Proof{}, fmt.Errorf("%w: reading %d is by %s, off was commanded by %s", ErrNoProof, i+1, r.Method, rec.Method)
		case r.Power != Off:
			return Proof{}, fmt.Errorf("%w: reading %d is %s", ErrNoProof, i+1, r.Power)
		case r.Ended.Before(r.Began):
			return Proof{}, fmt.Errorf("%w: reading %d ended before it began", ErrNoProof, i+1)
		case !r.Began.After(rec.Commanded):
			return Proof{}, fmt.Errorf("%w: reading %d began before the command", ErrNoProof, i+1)
		case i > 0 && r.Began.Before(rec.Readings[i-1].Ended):
			return Proof{}, fmt.Errorf("%w: readings %d and %d overlap", ErrNoProof, i, i+1)
		}
		if err := r.feeds(rec.Feeds); err != nil {
			return Proof{}, fmt.Errorf("%w: reading %d: %w", ErrNoProof, i+1, err)
		}
	}
	first, last := rec.Readings[0], rec.Readings[len(rec.Readings)-1]
	if gap := last.Began.Sub(first.Began); gap < MinSpacing {
		return Proof{}, fmt.Errorf("%w: readings only %v apart, %v needed", ErrNoProof, gap, MinSpacing)
	}
	// A proof is of what was read: no caller changes it afterwards.
	rec.Readings = cloned(rec.Readings)
	return Proof{rec: rec}, nil
}

func cloned(rs []Reading) []Reading {
	rs = slices.Clone(rs)
	for i := range rs {
		rs[i].Parts = slices.Clone(rs[i].Parts)
	}
	return rs
}

// feeds says whether all n feeds of the machine read off in r.
func (r Reading) feeds(n int) error {
	if len(r.Parts) != n {
		return fmt.Errorf("%d of %d feeds were read", len(r.Parts), n)
	}
	for _, p := range r.Parts {
		if p.Power != Off || p.Began.Before(r.Began) || p.Ended.After(r.Ended) || p.Ended.Before(p.Began) {
			return fmt.Errorf("feed %s is %s", p.Method, p.Power)
		}
	}
	return nil
}

func proveWord(rec Record) (Proof, error) {
	if rec.Method != MethodOperator || len(rec.Readings) > 0 || !rec.Commanded.IsZero() {
		return Proof{}, fmt.Errorf("%w: an operator's word and readings of %s in one", ErrNoProof, rec.Method)
	}
	if err := rec.Word.check(rec.Host); err != nil {
		return Proof{}, err
	}
	word := *rec.Word
	rec.Word = &word
	return Proof{rec: rec}, nil
}

// Covers says that p is for this host and boot. The zero Proof covers nothing.
func (p Proof) Covers(host, boot string) bool {
	return p.rec.Host != "" && p.rec.Host == host && p.rec.Boot == boot
}

// Record gives the evidence behind p.
func (p Proof) Record() Record {
	rec := p.rec
	rec.Readings = cloned(rec.Readings)
	if rec.Word != nil {
		word := *rec.Word
		rec.Word = &word
	}
	if rec.Expiry != nil {
		rec.Expiry = rec.Expiry.clone()
	}
	return rec
}

// At is when the last reading of p was in, or when the person spoke, or when the
// watchdog's expiry was seen.
func (p Proof) At() time.Time {
	if p.rec.Word != nil {
		return p.rec.Word.At
	}
	if p.rec.Expiry != nil {
		return p.rec.Expiry.At
	}
	if len(p.rec.Readings) == 0 {
		return time.Time{}
	}
	return p.rec.Readings[len(p.rec.Readings)-1].Ended
}
