package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// maxMessage keeps an API's complaint to a line of log.
const maxMessage = 400

// maxWait is the longest Retry-After that is believed, in seconds.
const maxWait = 3600

// translate turns a library's error into ours. Nothing of gophercloud leaves
// this package, and no secret survives.
func (c *Client) translate(doing string, err error) *nova.Error {
	e := &nova.Error{Doing: doing}
	if resp, ok := errors.AsType[gophercloud.ErrUnexpectedResponseCode](err); ok {
		e.Status = resp.Actual
		e.RequestID = requestID(resp.ResponseHeader)
		message, genuine := complaint(resp.Body)
		e.Fault, e.Wait = faultOfStatus(resp.Actual, genuine), retryAfter(resp.ResponseHeader, c.now())
		if message == "" {
			message = http.StatusText(resp.Actual)
		}
		e.Err = errors.New(c.scrub(message))
		return e
	}
	e.Fault = faultOfNetwork(err)
	e.Err = plain{text: c.scrub(err.Error()), cause: contextError(err)}
	return e
}

// faultOfStatus: a 4xx is a definite no, a 5xx leaves the outcome open (a proxy
// says 502 and 504 for a request that Nova is still working on).
func faultOfStatus(status int, genuine bool) nova.Fault {
	switch {
	case status == http.StatusUnauthorized:
		return nova.FaultAuth
	case status == http.StatusNotFound && genuine:
		return nova.FaultNotFound
	case status == http.StatusConflict:
		return nova.FaultConflict
	case status == http.StatusRequestTimeout:
		return nova.FaultTimeout
	case status == http.StatusTooManyRequests: // of a proxy or a limiter: Nova has not seen it
		return nova.FaultBusy
	case status >= 300 && status < 500:
		// A 404 that OpenStack did not write (a proxy, a wrong path) must not
		// be read as "this server does not exist"; redirects are not followed.
		return nova.FaultRefused
	}
	return nova.FaultUnknown
}

// retryAfter reads the header Retry-After: seconds, or a date (RFC 9110, 10.2.3). 0: none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	word := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.Atoi(word); err == nil {
		return time.Duration(min(max(n, 0), maxWait)) * time.Second
	}
	at, err := http.ParseTime(word)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date // both are of one clock then
	}
	return min(max(at.Sub(now), 0), maxWait*time.Second)
}

func faultOfNetwork(err error) nova.Fault {
	if _, ok := errors.AsType[*unsent](err); ok {
		return nova.FaultUnsent
	}
	if contextError(err) != nil {
		return nova.FaultTimeout
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return nova.FaultTimeout
	}
	return nova.FaultUnknown
}

func contextError(err error) error {
	for _, known := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, known) {
			return known
		}
	}
	return nil
}

// plain is a library's error reduced to its text; only the context's errors
// stay recognisable.
type plain struct {
	text  string
	cause error
}

func (p plain) Error() string { return p.text }
func (p plain) Unwrap() error { return p.cause }

// complaint finds the sentence in an OpenStack error body and says whether the
// body has an OpenStack service's form: {"itemNotFound": {"message": …}} of
// Nova, {"error": {"message": …}} of Keystone, {"errors": [{"detail": …}]} of
// Placement.
func complaint(body []byte) (message string, genuine bool) {
	var doc map[string]json.RawMessage
	if json.Unmarshal(body, &doc) != nil {
		return "", false
	}
	for _, raw := range doc {
		var one struct{ Message string }
		if json.Unmarshal(raw, &one) == nil && one.Message != "" {
			return clip(one.Message), true
		}
		var many []struct{ Detail string }
		if json.Unmarshal(raw, &many) == nil && len(many) > 0 {
			return clip(many[0].Detail), true
		}
	}
	return "", false
}

func clip(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxMessage {
		s = s[:maxMessage] + "…"
	}
	return s
}

// scrub removes every secret that we hold from a text about to be shown.
func (c *Client) scrub(s string) string {
	for _, secret := range append(c.secrets, c.tokenNow()) {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "redacted")
		}
	}
	return s
}

func requestID(h http.Header) string {
	if id := h.Get("X-Openstack-Request-Id"); id != "" {
		return id
	}
	return h.Get("X-Compute-Request-Id")
}

// refuse is an error that this adapter itself decided on.
func refuse(doing, why string) error {
	return &nova.Error{Doing: doing, Fault: nova.FaultRefused, Err: errors.New(why)}
}

// unknown is an answer that decides nothing.
func unknown(doing, why string) error {
	return &nova.Error{Doing: doing, Fault: nova.FaultUnknown, Err: errors.New(why)}
}

// fault finds our own error in err, nil if it is another's.
func fault(err error) *nova.Error {
	e, _ := errors.AsType[*nova.Error](err)
	return e
}
