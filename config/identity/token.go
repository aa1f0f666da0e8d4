package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

const (
	tokenVersion = "lb1"
	tokenBytes   = 32
)

// Token lets one host enrol once. It is shown to the operator once; the ledger
// keeps its id and the hash of its secret.
type Token struct {
	ID          string
	secret      string
	Fingerprint string // of the CA, so that the host knows whom it gives the token to
}

// NewToken makes a token for the cluster of a CA.
func NewToken(caFingerprint string) (Token, error) {
	if err := checkFingerprint(caFingerprint); err != nil {
		return Token{}, err
	}
	var id [6]byte
	var secret [tokenBytes]byte
	rand.Read(id[:])
	rand.Read(secret[:])
	return Token{ID: hex.EncodeToString(id[:]), secret: base64.RawURLEncoding.EncodeToString(secret[:]),
		Fingerprint: strings.ToLower(caFingerprint)}, nil
}

// ParseToken reads lb1.<id>.<secret>.<fingerprint>. Its errors never show it.
func ParseToken(s string) (Token, error) {
	parts := strings.Split(strings.TrimSpace(s), ".")
	if len(parts) != 4 || parts[0] != tokenVersion {
		return Token{}, errors.New("this is no token of the form lb1.ID.SECRET.FINGERPRINT: copy it whole")
	}
	t := Token{ID: parts[1], secret: parts[2], Fingerprint: strings.ToLower(parts[3])}
	if id, err := hex.DecodeString(t.ID); err != nil || len(id) != 6 {
		return Token{}, errors.New("the token's id is damaged: copy it whole")
	}
	if secret, err := base64.RawURLEncoding.DecodeString(t.secret); err != nil || len(secret) != tokenBytes {
		return Token{}, errors.New("the token's secret is damaged: copy it whole")
	}
	return t, checkFingerprint(t.Fingerprint)
}

func checkFingerprint(s string) error {
	if b, err := hex.DecodeString(s); err != nil || len(b) != sha256.Size {
		return errors.New("the CA's fingerprint is not 64 hexadecimal digits: copy it whole")
	}
	return nil
}

// Reveal gives the token as the operator passes it on.
func (t Token) Reveal() string {
	return strings.Join([]string{tokenVersion, t.ID, t.secret, t.Fingerprint}, ".")
}

// Secret is what the host sends to prove that it has the token.
func (t Token) Secret() Secret { return Plain(t.secret) }

// Hash is what the ledger keeps. The secret is 256 random bits: no salt, no
// slow hash is needed.
func (t Token) Hash() []byte { return HashSecret(t.secret) }

// HashSecret hashes a token's secret as it was sent.
func HashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// MatchesHash compares a secret with the hash in the ledger, in constant time.
func MatchesHash(secret string, hash []byte) bool {
	return subtle.ConstantTimeCompare(HashSecret(secret), hash) == 1
}

// String keeps the secret out of prints.
func (t Token) String() string { return fmt.Sprintf("%s.%s.%s", tokenVersion, t.ID, redacted) }

// GoString keeps the secret out of %#v.
func (t Token) GoString() string { return t.String() }

// LogValue keeps the secret out of logs.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON keeps the secret out of JSON.
func (t Token) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", t.String()), nil }
