package redfish

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/stmcginnis/gofish/common"

	"github.com/lifeboat-ha/lifeboat/fence"
)

var (
	errCut     = errors.New("the answer was cut")
	errOther   = errors.New("another system answers")
	errSeveral = errors.New("the BMC has several systems and none is declared")
	errNone    = errors.New("the BMC lists no system")
	errNoReset = errors.New("the system offers no reset")
)

// failure names the cause of err. Its text is our own: a BMC's whole answer, or
// a URL, has no place in a log.
func (m *Method) failure(ctx context.Context, doing string, err error) *fence.Error {
	f := &fence.Error{Method: m.o.Name, Doing: doing, Cause: fence.CauseProtocol, Err: err}
	var network net.Error
	answer, answered := errors.AsType[*common.Error](err)
	certificate, distrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case ctx.Err() != nil:
		f.Cause, f.Err = fence.CauseUnreachable, fmt.Errorf("no answer in time: %w", ctx.Err())
	case answered && answer.HTTPReturnedStatusCode != 0:
		f.Cause, f.Refused = status(answer)
		f.Err = errors.New(m.short(words(answer)))
	case errors.Is(err, errFingerprint), errors.Is(err, errOther), errors.Is(err, errSeveral):
		f.Cause, f.Refused = fence.CauseIdentity, true // nothing was commanded
	case distrusted:
		f.Cause, f.Err = fence.CauseIdentity, certificate
	case errors.Is(err, errNone):
		f.Cause = fence.CauseBusy // for some minutes after the BMC's own restart
	case errors.Is(err, errCut), errors.As(err, &network):
		f.Cause = fence.CauseUnreachable
	}
	if text := f.Err.Error(); m.short(text) != text {
		f.Err = errors.New(m.short(text))
	}
	return f
}

// status says what an HTTP status means, and that the BMC did not accept.
func status(e *common.Error) (fence.Cause, bool) {
	switch code := e.HTTPReturnedStatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return fence.CauseAuth, true
	case code == http.StatusServiceUnavailable, code == http.StatusTooManyRequests, code == http.StatusLocked,
		code == http.StatusBadRequest && notReady(e):
		return fence.CauseBusy, true
	case code == http.StatusBadGateway, code == http.StatusGatewayTimeout:
		// A proxy's word: what lies behind it may have heard us.
		return fence.CauseUnreachable, false
	}
	return fence.CauseProtocol, true
}

// clientFault says that the BMC answered with a 4xx.
func clientFault(err error) bool {
	e, ok := errors.AsType[*common.Error](err)
	return ok && e.HTTPReturnedStatusCode/100 == 4
}

// notReady knows a restarting iDRAC (SWC0700) and iLO.
func notReady(e *common.Error) bool {
	text := strings.ToLower(words(e))
	return strings.Contains(text, "not ready") || strings.Contains(text, "notready") || strings.Contains(text, "swc0700")
}

// words are the status and what the BMC says of it, first message first.
func words(e *common.Error) string {
	said := e.Message
	for _, info := range e.ExtendedInfos {
		said = info.MessageID + " " + info.Message
		break
	}
	return strings.TrimSpace(fmt.Sprintf("HTTP %d %s", e.HTTPReturnedStatusCode, said))
}

// short makes a BMC's words fit for a log: one line, no end, no secret of ours.
func (m *Method) short(s string) string {
	const most = 200
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	s = strings.ReplaceAll(s, m.o.Password, "***")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
