package rest

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

func logins(cloud *novatest.Cloud) int { return len(seen(cloud, "POST /identity")) }

// The token is renewed at half of its life, by itself.
func TestTokenRenewedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := connected(t, novatest.Options{TokenLife: time.Hour})
		first := client.TokenExpires()
		time.Sleep(29 * time.Minute)
		if n := logins(cloud); n != 1 {
			t.Errorf("%d logins before half of the token's life", n)
		}
		time.Sleep(2 * time.Minute)
		if n := logins(cloud); n != 2 || client.TokenExpires().Sub(first) < 30*time.Minute {
			t.Errorf("%d logins, expires %v later", n, client.TokenExpires().Sub(first))
		}
		time.Sleep(24 * time.Hour)
		if err := client.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(seen(cloud, "GET /os-services")); n != 1 {
			t.Errorf("the call met an expired token: %d requests", n)
		}
	})
}

// Keystone may be what the incident took away: calls go on with the token in
// hand, and a new one is fetched as soon as Keystone is back.
func TestKeystoneOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := connected(t, novatest.Options{TokenLife: time.Hour})
		cloud.SetKeystone(false)
		time.Sleep(55 * time.Minute)
		if err := client.Ping(t.Context()); err != nil {
			t.Errorf("with a valid token: %v", err)
		}
		wantFault(t, client.Renew(t.Context()), nova.FaultUnknown)
		time.Sleep(10 * time.Minute)
		wantFault(t, client.Ping(t.Context()), nova.FaultAuth, "then log in to Keystone")
		cloud.SetKeystone(true)
		time.Sleep(renewRetry + time.Second)
		before := logins(cloud)
		if err := client.Ping(t.Context()); err != nil || logins(cloud) != before {
			t.Errorf("not renewed in the background: %v", err)
		}
	})
}

// Many calls that meet a dead token share one login.
func TestOneLoginForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := connected(t, novatest.Options{})
		cloud.RevokeTokens()
		cloud.Inject(novatest.Fault{Match: "/identity", Delay: time.Second})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := client.Ping(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := logins(cloud); n != 2 {
			t.Errorf("%d logins, want the first and one more", n)
		}
	})
}

// A caller's deadline holds while somebody else's login hangs, and a caller
// that gives up does not take the login away from the others.
func TestRenewDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := connected(t, novatest.Options{})
		cloud.Inject(novatest.Fault{Match: "/identity", Delay: 5 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		wantFault(t, client.Renew(ctx), nova.FaultTimeout)
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %v", waited)
		}
		if err := client.Renew(t.Context()); err != nil {
			t.Error(err)
		}
		if n := logins(cloud); n != 2 {
			t.Errorf("%d logins", n)
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		wantFault(t, client.Renew(t.Context()), nova.FaultUnsent, "closed")
		_ = client.Close() // twice does no harm
	})
}

// A clock that is wrong by hours on either side neither ends a token early nor
// keeps a dead one.
func TestSkewedKeystone(t *testing.T) {
	for _, skew := range []time.Duration{-5 * time.Hour, 5 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			account(t)
			cloud := novatest.New(novatest.Options{Now: time.Now})
			defer cloud.Close()
			cloud.SetSkew(skew)
			client, err := Connect(t.Context(), Options{Now: time.Now, Transport: cloud.Transport()})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if life := time.Until(client.TokenExpires()); life < 59*time.Minute || life > 61*time.Minute {
				t.Errorf("skew %v: the token is thought to live %v", skew, life)
			}
		})
	}
}

// Nothing that a caller, a log or a page could show holds a secret.
func TestSecretsStaySecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account(t)
		cloud := novatest.New(novatest.Options{Now: time.Now})
		defer cloud.Close()
		var token string
		leaky := roundTrip(func(r *http.Request) (*http.Response, error) {
			if x := r.Header.Get("X-Auth-Token"); x != "" {
				token = x
			}
			return cloud.Transport().RoundTrip(r)
		})
		client, err := Connect(t.Context(), Options{Now: time.Now, Transport: leaky})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if token == "" {
			t.Fatal("no token seen")
		}
		// An API that repeats what it was sent.
		echo := `{"badRequest": {"message": "you sent ` + novatest.Password + ` and ` + token + `"}}`
		client.provider.HTTPClient.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			return answerWith(400, echo), nil
		})
		_, err = client.Evacuate(t.Context(), "x", nova.Target{})
		wantFault(t, err, nova.FaultRefused, "you sent redacted and redacted")
		client.provider.HTTPClient.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			return nil, &quoting{novatest.Password + " " + token}
		})
		_, err = client.Evacuate(t.Context(), "x", nova.Target{})
		wantFault(t, err, nova.FaultUnknown)
		if strings.Contains(err.Error(), novatest.Password) || strings.Contains(err.Error(), token) {
			t.Errorf("a secret in %v", err)
		}
	})
}

type quoting struct{ text string }

func (q *quoting) Error() string { return q.text }
