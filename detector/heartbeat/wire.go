package heartbeat

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// A datagram is
//
//	"LB" version kind cluster[8] from to key start seq echo echoed payload signature[64]
//
// where strings have one byte of length before them and numbers are uvarints.
// echo is the start id of the receiver as the sender knows it, echoed the
// newest sequence number that it has from there. The signature covers
// separator, the whole hash of the cluster id, and everything before itself.
const (
	wireVersion = 1
	separator   = "lifeboat heartbeat datagram\x00"
)

type kind byte

const (
	kindHeartbeat kind = iota + 1 // agent to controller
	kindAck                       // controller to agent
	kindOrder                     // controller to agent
	kindResult                    // agent to controller
	kindAsk                       // agent to agent: have you lost the controllers?
	kindLost                      // agent to agent: I have
)

type header struct {
	kind     kind
	from, to string
	key      string
	start    string
	seq      uint64
	echo     string
	echoed   uint64
}

// datagram is one that has been taken apart. Nothing in it is true until
// verify has said so.
type datagram struct {
	header
	payload   []byte
	signed    []byte // with room for nothing: shares the receive buffer
	signature []byte
}

var (
	errMalformed = errors.New("malformed datagram")
	errVersion   = errors.New("unknown version")
	errCluster   = errors.New("another cluster")
)

// cluster is a cluster id's hash.
type cluster [sha256.Size]byte

func clusterOf(id string) cluster { return sha256.Sum256([]byte(id)) }

func (c cluster) message(body []byte) []byte {
	m := make([]byte, 0, len(separator)+len(c)+len(body))
	m = append(m, separator...)
	m = append(m, c[:]...)
	return append(m, body...)
}

// room is how many bytes of payload fit a datagram with this header.
func (c cluster) room(h header) int {
	return MaxDatagram - ed25519.SignatureSize - len(c.begin(h))
}

func (c cluster) begin(h header) []byte {
	w := writer{append(make([]byte, 0, MaxDatagram), 'L', 'B', wireVersion, byte(h.kind))}
	w.b = append(w.b, c[:8]...)
	w.text(h.from)
	w.text(h.to)
	w.text(h.key)
	w.text(h.start)
	w.number(h.seq)
	w.text(h.echo)
	w.number(h.echoed)
	return w.b
}

// Signer signs and verifies. Nothing but a simulation has another one than Ed25519.
type Signer interface {
	Sign(key ed25519.PrivateKey, message []byte) []byte
	Verify(key ed25519.PublicKey, message, signature []byte) bool
}

type edwards struct{}

// Sign is ed25519.Sign.
func (edwards) Sign(key ed25519.PrivateKey, message []byte) []byte { return ed25519.Sign(key, message) }

// Verify is ed25519.Verify.
func (edwards) Verify(key ed25519.PublicKey, message, signature []byte) bool {
	return ed25519.Verify(key, message, signature)
}

// seal makes the signed datagram.
func (c cluster) seal(h header, payload []byte, key ed25519.PrivateKey, by Signer) []byte {
	body := append(c.begin(h), payload...)
	return append(body, by.Sign(key, c.message(body))...)
}

// take takes a datagram apart. It checks the form only.
func (c cluster) take(b []byte) (datagram, error) {
	var d datagram
	if len(b) < 12+ed25519.SignatureSize || len(b) > MaxDatagram || b[0] != 'L' || b[1] != 'B' {
		return d, errMalformed
	}
	if b[2] != wireVersion {
		return d, errVersion
	}
	if string(b[4:12]) != string(c[:8]) {
		return d, errCluster
	}
	end := len(b) - ed25519.SignatureSize
	d.signed, d.signature = b[:end], b[end:]
	r := reader{b: b[12:end]}
	d.kind = kind(b[3])
	d.from = r.text(maxHost)
	d.to = r.text(maxHost)
	d.key = r.text(maxID)
	d.start = r.text(maxID)
	d.seq = r.number()
	d.echo = r.text(maxID)
	d.echoed = r.number()
	if r.bad || d.from == "" || d.start == "" || d.seq == 0 || d.kind < kindHeartbeat || d.kind > kindLost {
		return d, errMalformed
	}
	d.payload = r.b
	return d, nil
}

// maxKeys is how many keys of one sender are tried: the old and the new one of
// a rotation, and some air.
const maxKeys = 4

func (c cluster) verify(d datagram, keys []ed25519.PublicKey, by Signer) bool {
	m := c.message(d.signed)
	for i, k := range keys {
		if i < maxKeys && len(k) == ed25519.PublicKeySize && by.Verify(k, m, d.signature) {
			return true
		}
	}
	return false
}

type writer struct{ b []byte }

// text writes at most 255 bytes. Callers' Validate keeps longer ones out.
func (w *writer) text(s string) {
	s = s[:min(len(s), 255)]
	w.b = append(append(w.b, byte(len(s))), s...)
}

func (w *writer) number(n uint64) { w.b = binary.AppendUvarint(w.b, n) }

func (w *writer) byte(b byte) { w.b = append(w.b, b) }

type reader struct {
	b   []byte
	bad bool
}

func (r *reader) text(limit int) string {
	n := int(r.byte())
	if r.bad || n > limit || n > len(r.b) {
		r.bad = true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if r.bad || size <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) byte() byte {
	if r.bad || len(r.b) == 0 {
		r.bad = true
		return 0
	}
	b := r.b[0]
	r.b = r.b[1:]
	return b
}

// count reads how many of something follow, each at least one byte long.
func (r *reader) count() int {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}
