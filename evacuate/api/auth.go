package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Principal is who a token stands for: the name under which everything it does
// is recorded, and what it may do.
type Principal struct {
	Name string
	Role Role
}

type principalKey struct{}

// principal is whose token a request carries.
func principal(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// roleOf is what a command takes: the role fence for a person's word on which a
// host is fenced or a recovery's caution is overruled.
func roleOf(c Command) Role {
	if c.Verb == VerbApprove || c.Verb == VerbConfirmDead || c.Verb == VerbDrill || c.Verb == VerbHostForget || c.Verb == VerbEnd && c.Flag {
		return RoleFence
	}
	return RoleOperate
}

var rank = map[Role]int{RoleRead: 1, RoleOperate: 2, RoleFence: 3}

// ParseTokens reads a token file: one token alone may do everything; otherwise
// each line is a role, a token, and a name for the ledger. A token without a name
// is named by its role and a fingerprint. Its errors never show a token.
func ParseTokens(file string) (map[string]Principal, error) {
	tokens := map[string]Principal{}
	lines := strings.Split(strings.TrimSpace(file), "\n")
	for i, line := range lines {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || strings.HasPrefix(f[0], "#"):
		case len(f) == 1 && len(lines) == 1:
			tokens[f[0]] = unnamed(f[0], RoleFence)
		case len(f) == 2 && rank[Role(f[0])] > 0:
			tokens[f[1]] = unnamed(f[1], Role(f[0]))
		case len(f) == 3 && rank[Role(f[0])] > 0 && len(f[2]) <= 64:
			tokens[f[1]] = Principal{Name: f[2], Role: Role(f[0])}
		default:
			return nil, fmt.Errorf("token file, line %d: write a role (read, operate, fence), a token and a name, or one token alone in the file", i+1)
		}
	}
	for t := range tokens {
		if len(t) < 16 {
			return nil, fmt.Errorf("token file: a token is shorter than 16 characters: make one with `openssl rand -hex 24`")
		}
	}
	return tokens, nil
}

func unnamed(token string, role Role) Principal {
	sum := sha256.Sum256([]byte(token))
	return Principal{Name: fmt.Sprintf("%s-token-%x", role, sum[:3]), Role: role}
}

// need lets a request pass whose token has the role.
func (s *server) need(role Role, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, given, ok := strings.Cut(r.Header.Get("Authorization"), " ")
		ok = ok && strings.EqualFold(scheme, "Bearer")
		sum := sha256.Sum256([]byte(given)) // of one length, whatever was sent
		var who Principal
		for t, p := range s.o.Tokens {
			if want := sha256.Sum256([]byte(t)); subtle.ConstantTimeCompare(want[:], sum[:]) == 1 {
				who = p
			}
		}
		switch have := who.Role; {
		case !ok || have == "":
			w.Header().Set("WWW-Authenticate", "Bearer")
			problem(w, http.StatusUnauthorized, "no valid token: send one as `Authorization: Bearer`")
		case rank[have] < rank[role]:
			problem(w, http.StatusForbidden, fmt.Sprintf("this token may %s; it takes %s", have, role))
		default:
			next(w, r.WithContext(context.WithValue(r.Context(), principalKey{}, who)))
		}
	})
}

// problem answers as RFC 9457.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // an answer may be an enrolment token
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}
