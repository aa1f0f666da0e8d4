package fence

import (
	"fmt"
	"time"
)

const (
	// MethodOperator is the method of a proof that rests on a person's word.
	MethodOperator = "operator"
	// MinSilence is how old the newest sign of life, and the BMC's newest reading
	// of on, must be for a person's word to be taken.
	MinSilence = time.Minute
)

// Word is a person's statement that a host is off and stays off, with what was
// known of the host when it was given: replicas judge it by that, not by clocks.
type Word struct {
	By     string `json:"by"`             // the token's name
	Says   string `json:"says,omitempty"` // the client's word for By, checked by nobody
	Reason string `json:"reason"`
	// Typed is the host's name, typed again.
	Typed string    `json:"typed"`
	At    time.Time `json:"at"`
	// LastSign and LastOn are the newest sign of life and the BMC's newest
	// reading of on; zero: none was ever seen.
	LastSign time.Time `json:"last_sign,omitzero"`
	LastOn   time.Time `json:"last_on,omitzero"`
}

// Confirm makes a Proof of a person's word, for one host and one boot. An empty
// boot is one that nobody knows: that of a host that died unheard.
func Confirm(host, boot string, w Word) (Proof, error) {
	return Prove(Record{Host: host, Boot: boot, Method: MethodOperator, Word: &w})
}

// check says what w lacks to be a proof for host.
func (w Word) check(host string) error {
	missing := func(format string, args ...any) error {
		return fmt.Errorf("%w: the operator's word: %s", ErrNoProof, fmt.Sprintf(format, args...))
	}
	switch {
	case w.By == "" || w.At.IsZero():
		return missing("who gave it, or when, is missing")
	case w.Reason == "":
		return missing("a reason is missing")
	case w.Typed != host:
		return missing("the host's name must be typed again: it is %s, not %q", host, w.Typed)
	case !w.LastSign.IsZero() && w.At.Sub(w.LastSign) < MinSilence:
		return missing("a sign of life is only %s old, %s is the least", w.At.Sub(w.LastSign).Round(time.Second), MinSilence)
	case !w.LastOn.IsZero() && w.At.Sub(w.LastOn) < MinSilence:
		return missing("its BMC read on %s ago, %s is the least", w.At.Sub(w.LastOn).Round(time.Second), MinSilence)
	}
	return nil
}

// Began is when off was commanded, or when a person gave their word, or when the
// watchdog's expiry was seen.
func (r Record) Began() time.Time {
	if r.Expiry != nil {
		return r.Expiry.At
	}
	if r.Word != nil {
		return r.Word.At
	}
	return r.Commanded
}
