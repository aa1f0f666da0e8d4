package rest

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// TestRetryAfter reads both forms of the header; a date is held against the answer's own.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for name, row := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"none":                       {http.Header{}, 0},
		"seconds":                    {http.Header{"Retry-After": {"7"}}, 7 * time.Second},
		"less than none":             {http.Header{"Retry-After": {"-7"}}, 0},
		"too long":                   {http.Header{"Retry-After": {"99999999999"}}, maxWait * time.Second},
		"no number":                  {http.Header{"Retry-After": {"soon"}}, 0},
		"a date":                     {http.Header{"Retry-After": {date(9 * time.Second)}}, 9 * time.Second},
		"a date by another clock":    {http.Header{"Retry-After": {date(time.Hour)}, "Date": {date(time.Hour - 9*time.Second)}}, 9 * time.Second},
		"a date of the past":         {http.Header{"Retry-After": {date(-time.Minute)}}, 0},
		"a date that is years ahead": {http.Header{"Retry-After": {date(9000 * time.Hour)}}, maxWait * time.Second},
	} {
		if got := retryAfter(row.header, now); got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
}

// A POST that is turned away as busy changed nothing, and the pause that was asked for comes
// with it.
func TestEvacuateBusy(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		id := w.cloud.Boot("cmp01", 1)[0]
		w.kill("cmp01")
		w.cloud.Inject(novatest.Fault{Match: "/action", Status: http.StatusTooManyRequests, Wait: "30"})
		_, err := w.client.Evacuate(w.Context(), id, nova.Target{})
		if status, wait := nova.AnswerOf(err); status != http.StatusTooManyRequests || wait != 30*time.Second || !nova.FaultOf(err).Definite() {
			t.Errorf("%d, %s, %v", status, wait, err)
		}
	})
	if status, wait := nova.AnswerOf(errors.New("no answer")); status != 0 || wait != 0 {
		t.Errorf("%d, %s of no answer", status, wait)
	}
}

// An instance with a virtual TPM is refused before its state is looked at.
func TestEvacuateSealed(t *testing.T) {
	in(t, novatest.Options{}, func(w world) {
		id := w.cloud.Boot("cmp01", 1, novatest.BootOptions{VMState: "paused", FlavorExtra: map[string]string{"hw:tpm_version": "2.0"}})[0]
		w.kill("cmp01")
		_, err := w.client.Evacuate(w.Context(), id, nova.Target{})
		wantFault(t, err, nova.FaultRefused, "HTTP 400", "not supported for vTPM-enabled instance")
	})
}
