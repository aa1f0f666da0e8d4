package novatest

import (
	"context"
	"net/http"
	"time"
)

// Fault is something that goes wrong with requests. After says when: before
// the request did anything, or after it took effect, when only the answer is
// lost.
type Fault struct {
	// Match is a part of "METHOD /path?query body"; empty matches everything.
	Match string
	// Times is how often; 0 means until Heal.
	Times int
	After bool

	Delay  time.Duration // wait this long
	Held   bool          // and go on even if the client has left meanwhile: a proxy
	Status int           // answer this, as a proxy would: in HTML
	Wait   string        // of Status: its header Retry-After
	Reset  bool          // cut the connection
	Hang   bool          // never answer

	left int
}

// Inject adds a fault. The first one that matches a request applies.
func (c *Cloud) Inject(f Fault) {
	c.set(func() {
		f.left = f.Times
		if f.Times == 0 {
			f.left = -1
		}
		c.faults = append(c.faults, &f)
	})
}

// Heal removes all faults.
func (c *Cloud) Heal() { c.set(func() { c.faults = nil }) }

// apply does the fault's part before or after the request, and says whether
// the request goes on.
func (f *Fault) apply(c *Cloud, w http.ResponseWriter, r *http.Request, after bool) bool {
	if f.After != after {
		return true
	}
	if f.Held {
		r = r.WithContext(context.WithoutCancel(r.Context()))
	}
	c.pause(r, f.Delay)
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-c.closed:
		}
		panic(http.ErrAbortHandler)
	case f.Reset:
		panic(http.ErrAbortHandler) // net/http and Transport cut the connection
	case f.Status != 0:
		w.Header().Set("Content-Type", "text/html")
		if f.Wait != "" {
			w.Header().Set("Retry-After", f.Wait)
		}
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte("<html><body><h1>" + http.StatusText(f.Status) + "</h1></body></html>\n"))
		return false
	}
	return true
}
