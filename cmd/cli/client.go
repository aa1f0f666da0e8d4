package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

// Exit codes (docs/cli.md).
const (
	ExitFailed   = 1
	ExitUsage    = 2
	ExitNotFound = 3
	ExitRefused  = 4
)

// codeError is an error with its exit code.
type codeError struct {
	code int
	err  error
}

func (e codeError) Error() string { return e.err.Error() }
func (e codeError) Unwrap() error { return e.err }

// client asks a controller's API.
type client struct {
	base, token string
	http        *http.Client
}

func newClient(base, tokenFile, ca string) (*client, error) {
	c := &client{base: strings.TrimRight(base, "/"), http: &http.Client{}}
	if tokenFile == "" {
		return nil, codeError{ExitUsage, errors.New("no API token: give --token-file or LIFEBOAT_TOKEN_FILE")}
	}
	secret, err := config.ReadSecretFile(tokenFile)
	if err != nil {
		return nil, codeError{ExitUsage, err}
	}
	tokens, err := api.ParseTokens(secret.Reveal())
	if err != nil {
		return nil, codeError{ExitUsage, err}
	}
	best := map[api.Role]int{api.RoleRead: 1, api.RoleOperate: 2, api.RoleFence: 3}
	have := 0
	for t, p := range tokens { // the token that may do most
		if best[p.Role] > have {
			c.token, have = t, best[p.Role]
		}
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, usage("read the CA: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, usage("%s holds no certificate", ca)
		}
		c.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	}
	return c, nil
}

const callTimeout = 40 * time.Second

func (c *client) request(ctx context.Context, method, path, accept string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, codeError{ExitUsage, err}
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept", accept)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, codeError{ExitFailed, fmt.Errorf("no answer from the controller at %s (--api): %w", c.base, err)}
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var p struct {
		Detail string `json:"detail"`
	}
	if json.NewDecoder(resp.Body).Decode(&p) != nil || p.Detail == "" {
		p.Detail = resp.Status
	}
	code := ExitFailed
	switch resp.StatusCode {
	case http.StatusNotFound:
		code = ExitNotFound
	case http.StatusConflict, http.StatusForbidden, http.StatusUnauthorized:
		code = ExitRefused
	}
	return nil, codeError{code, errors.New(p.Detail)}
}

func (c *client) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := c.request(ctx, http.MethodGet, path, "application/json", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return c.decode(resp, into)
}

func (c *client) decode(resp *http.Response, into any) error {
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("%s does not answer as a controller's API (--api): %w", c.base, err)
	}
	return nil
}

func (c *client) text(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := c.request(ctx, http.MethodGet, path, "text/plain", nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func (c *client) command(ctx context.Context, q api.Command) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b, err := json.Marshal(q)
	if err != nil {
		return "", err
	}
	resp, err := c.request(ctx, http.MethodPost, "/v1/commands", "application/json", b)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var a struct {
		Text string `json:"text"`
	}
	if err := c.decode(resp, &a); err != nil {
		return "", err
	}
	return a.Text, nil
}

const (
	reconnect = time.Second
	// attempts is how often in a row a broken stream is asked for again: an
	// election takes seconds.
	attempts = 60
)

// follow calls f for each event until ctx ends. A stream that breaks, as it
// does when leadership changes, is asked for again; it begins with the past.
func (c *client) follow(ctx context.Context, notes io.Writer, f func([]byte) error) error {
	began := false
	for failed := 0; ; {
		heard, err := c.stream(ctx, f)
		switch {
		case ctx.Err() != nil:
			return nil
		case heard && err == nil:
			began, failed = true, 0
		default:
			failed++
		}
		if stop, ok := errors.AsType[stopped](err); ok {
			return stop.error
		}
		if !began || failed >= attempts {
			return err
		}
		if failed <= 1 {
			fmt.Fprintln(notes, "lifeboat: the stream ended; asking for it again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reconnect):
		}
	}
}

// stopped is an error of whoever takes the events: no new stream mends it.
type stopped struct{ error }

// stream reads one stream to its end and says whether there was one.
func (c *client) stream(ctx context.Context, f func([]byte) error) (bool, error) {
	resp, err := c.request(ctx, http.MethodGet, "/v1/events", "text/event-stream", nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if data, ok := bytes.CutPrefix(sc.Bytes(), []byte("data: ")); ok {
			if err := f(data); err != nil {
				return true, stopped{err}
			}
		}
	}
	return true, nil // however it ended, there will be another
}
