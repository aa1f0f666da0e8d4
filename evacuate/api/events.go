package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Happening is one line of the stream of events.
type Happening struct {
	At       time.Time           `json:"at"`
	Host     nova.HostName       `json:"host"`
	Recovery evacuate.RecoveryID `json:"recovery,omitempty"`
	By       string              `json:"by,omitempty"`
	Text     string              `json:"text"`
}

const (
	// eventEvery is how often the stream looks for news.
	eventEvery = 500 * time.Millisecond
	// quietTicks is after how many looks without news a comment is sent, so
	// that a dead client or proxy is noticed.
	quietTicks = 30
	// writeLimit is how long a client may take to read.
	writeLimit = 30 * time.Second
)

// events streams timelines and changes of verdict, the past first, until the
// client goes or leadership changes: the client then asks again and is handed
// to the new leader, whose verdicts count.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	ctl := http.NewResponseController(w)
	tick := time.NewTicker(eventEvery)
	defer tick.Stop()
	leads := s.o.Source.Status().Leads
	told := newTeller()
	for quiet := quietTicks; ; quiet++ {
		news := told.news(s.o.Source.State(), s.o.Source.Verdicts())
		if len(news) > 0 || quiet >= quietTicks {
			quiet = 0
			_ = ctl.SetWriteDeadline(s.o.Now().Add(writeLimit))
			if send(w, news) != nil || ctl.Flush() != nil {
				return
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
		if s.o.Source.Status().Leads != leads {
			return
		}
	}
}

// send writes news, or a comment if there are none.
func send(w io.Writer, news []Happening) error {
	if len(news) == 0 {
		_, err := io.WriteString(w, ": nothing new\n\n")
		return err
	}
	for _, h := range news {
		b, err := json.Marshal(h)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", b); err != nil {
			return err
		}
	}
	return nil
}

// teller remembers what one client has been told.
type teller struct {
	last     map[evacuate.RecoveryID]evacuate.Event
	verdicts map[nova.HostName]detector.State
	journal  evacuate.Event // the last one told
}

func newTeller() *teller {
	return &teller{last: map[evacuate.RecoveryID]evacuate.Event{}, verdicts: map[nova.HostName]detector.State{}}
}

// news lists what happened since it was asked last, the oldest first.
func (t *teller) news(st *evacuate.State, verdicts map[nova.HostName]detector.Verdict) []Happening {
	var out []Happening
	for _, rec := range st.Sorted() {
		fresh := rec.Timeline
		if last, known := t.last[rec.ID]; known {
			fresh = after(rec.Timeline, last)
		}
		for _, e := range fresh {
			out = append(out, Happening{At: e.At, Host: rec.Host, Recovery: rec.ID, By: e.By, Text: e.Text})
			t.last[rec.ID] = e
		}
	}
	for _, e := range after(st.Journal, t.journal) {
		out = append(out, Happening{At: e.At, Host: e.Host, By: e.By, Text: e.Text})
		t.journal = e
	}
	for _, name := range st.HostNames() {
		v := verdicts[name]
		if old, known := t.verdicts[name]; v.State != "" && v.State != old {
			if known {
				out = append(out, Happening{At: v.At, Host: name, Text: fmt.Sprintf("%s: %s", v.State, v.Detail)})
			}
			t.verdicts[name] = v.State
		}
	}
	slices.SortStableFunc(out, func(a, b Happening) int { return a.At.Compare(b.At) })
	return out
}

// after gives the events that follow one that was told. A timeline loses its
// middle when it grows too long, so places in it mean nothing.
func after(timeline []evacuate.Event, last evacuate.Event) []evacuate.Event {
	for i := len(timeline) - 1; i >= 0; i-- {
		if e := timeline[i]; e.At.Equal(last.At) && e.By == last.By && e.Text == last.Text {
			return timeline[i+1:]
		}
	}
	return timeline
}
