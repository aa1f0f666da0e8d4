// Package notify tells people outside of plans, recoveries and what shadow got
// wrong, by signed HTTP POSTs. It reads the replicated state and decides
// nothing; a receiver that does not answer delays nobody.
package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"text/template"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// SignatureHeader carries "t=<unix seconds>,v1=<hex of HMAC-SHA256 over t, a dot
// and the body>", by the target's secret.
const SignatureHeader = "Lifeboat-Signature"

const (
	// every is the pause between two looks at the state.
	every = time.Second
	// attempts bounds the tries of one notice: 1, 2, 4 ... s apart.
	attempts = 6
	// waiting is how many notices a target that does not answer may leave.
	waiting = 200
	// overlap is how far back a new leader tells again what its predecessor may
	// not have got through.
	overlap = time.Minute
)

// Target is one receiver.
type Target struct {
	Name   string
	URL    string
	Secret string // signs the body; "" sends it unsigned
	// Template makes the body; nil sends the notice as JSON.
	Template *template.Template
	Kinds    []evacuate.NoticeKind // none: all
	Timeout  time.Duration         // of one attempt
	Client   *http.Client
}

// Notifier tells the targets what is new while this controller leads.
type Notifier struct {
	Targets []Target
	State   func() *evacuate.State
	// Leads says since when this controller leads.
	Leads func() (since time.Time, leads bool)
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
	Log   *slog.Logger

	sent    *prometheus.CounterVec
	queues  []chan evacuate.Notice
	told    map[string]bool
	index   uint64
	tenure  time.Time
	looking bool
}

// Compile reads a body's template. {{json .}} writes a value as JSON.
func Compile(name, text string) (*template.Template, error) {
	t, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{"json": asJSON}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("template of %s: %w", name, err)
	}
	return t, nil
}

func asJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// Register makes the counters.
func (n *Notifier) Register(reg prometheus.Registerer) error {
	n.sent = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lifeboat_notifications_total", Help: "Notices by receiver and how they ended."}, []string{"target", "result"})
	for _, t := range n.Targets {
		for _, r := range []string{"sent", "failed", "dropped"} {
			n.sent.WithLabelValues(t.Name, r)
		}
	}
	return reg.Register(n.sent)
}

// Run tells until ctx ends. Each target has its own queue.
func (n *Notifier) Run(ctx context.Context) {
	if n.sent == nil {
		_ = n.Register(prometheus.NewRegistry())
	}
	n.told = map[string]bool{}
	var wg sync.WaitGroup
	defer wg.Wait()
	n.queues = nil
	for _, t := range n.Targets {
		q := make(chan evacuate.Notice, waiting)
		n.queues = append(n.queues, q)
		wg.Go(func() { n.serve(ctx, t, q) })
	}
	for {
		n.look()
		if n.Sleep(ctx, every) != nil {
			return
		}
	}
}

// look queues what is new.
func (n *Notifier) look() {
	since, leads := n.Leads()
	if !leads {
		n.looking = false
		return
	}
	s := n.State()
	if n.looking && n.tenure.Equal(since) && s.Index == n.index {
		return
	}
	n.looking, n.tenure, n.index = true, since, s.Index
	present := map[string]bool{}
	for _, x := range evacuate.Notices(s) {
		present[x.ID] = true
		if n.told[x.ID] || x.At.Before(since.Add(-overlap)) {
			continue
		}
		for i, t := range n.Targets {
			if len(t.Kinds) > 0 && !slices.Contains(t.Kinds, x.Kind) {
				continue
			}
			select {
			case n.queues[i] <- x:
			default:
				n.sent.WithLabelValues(t.Name, "dropped").Inc()
				n.Log.Warn("notice dropped: its receiver does not keep up", "target", t.Name, "notice", x.ID)
			}
		}
	}
	n.told = present // what the ledger has forgotten needs no remembering
}

func (n *Notifier) serve(ctx context.Context, t Target, q <-chan evacuate.Notice) {
	for {
		select {
		case <-ctx.Done():
			return
		case x := <-q:
			result := "sent"
			if err := n.deliver(ctx, t, x); err != nil {
				result = "failed"
				n.Log.Warn("notice not delivered", "target", t.Name, "notice", x.ID, "reason", err)
			}
			n.sent.WithLabelValues(t.Name, result).Inc()
		}
	}
}

// errFinal marks an answer that another attempt would not change.
var errFinal = errors.New("refused")

func (n *Notifier) deliver(ctx context.Context, t Target, x evacuate.Notice) error {
	body, err := Body(t, x)
	if err != nil {
		return err
	}
	pause := time.Second
	for try := 1; ; try++ {
		if err = n.post(ctx, t, x.ID, body); err == nil || errors.Is(err, errFinal) || try == attempts {
			return err
		}
		if n.Sleep(ctx, pause) != nil {
			return err
		}
		pause *= 2
	}
}

// Body is what is sent: the notice, or what the template makes of it, which must
// be JSON too.
func Body(t Target, x evacuate.Notice) ([]byte, error) {
	if t.Template == nil {
		b, err := json.Marshal(x)
		if err != nil {
			return nil, fmt.Errorf("encode notice %s: %w", x.ID, err)
		}
		return b, nil
	}
	var b bytes.Buffer
	if err := t.Template.Execute(&b, x); err != nil {
		return nil, fmt.Errorf("template of %s: %w", t.Name, err)
	}
	if !json.Valid(b.Bytes()) {
		return nil, fmt.Errorf("template of %s: it does not make JSON: write strings with {{json .Text}}", t.Name)
	}
	return b.Bytes(), nil
}

// Sign gives the header's value for a body sent at a time.
func Sign(secret string, at time.Time, body []byte) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, stamp+".")
	_, _ = mac.Write(body)
	return fmt.Sprintf("t=%s,v1=%s", stamp, hex.EncodeToString(mac.Sum(nil)))
}

func (n *Notifier) post(ctx context.Context, t Target, id string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: the address of %s is not understood", errFinal, t.Name) // it may hold a secret
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "lifeboat")
	req.Header.Set("Idempotency-Key", id)
	if t.Secret != "" {
		req.Header.Set(SignatureHeader, Sign(t.Secret, n.Now(), body))
	}
	resp, err := t.Client.Do(req)
	if err != nil {
		return fmt.Errorf("post to %s: %w", t.Name, withoutURL(err))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	switch code := resp.StatusCode; {
	case code < 300:
		return nil
	case code < 500 && code != http.StatusRequestTimeout && code != http.StatusTooManyRequests:
		return fmt.Errorf("%w: %s answered %s", errFinal, t.Name, resp.Status)
	default:
		return fmt.Errorf("%s answered %s", t.Name, resp.Status)
	}
}

// withoutURL takes the address out of an error: it may be a secret by itself.
func withoutURL(err error) error {
	type wrapper interface{ Unwrap() error }
	if w, ok := err.(wrapper); ok && w.Unwrap() != nil { //nolint:errorlint // one layer, that of net/url
		return w.Unwrap()
	}
	return err
}

// NewClient makes a client that follows no redirect: what is signed for one
// receiver is for no other.
func NewClient(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
