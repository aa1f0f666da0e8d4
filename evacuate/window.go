package evacuate

import "time"

const (
	// windowFirst is how many evacuations are in flight before anything is known of
	// how this cloud takes them, windowLeast what trouble may bring that down to.
	windowFirst = 20
	windowLeast = 2
	// windowEach is how many there are at first for each host that may take some: it claims
	// one after the other, and what it has claimed starts beside that. Beyond windowMost
	// for each they only queue (BenchmarkWindow).
	windowEach = 5
	windowMost = 10
	// windowYield is what one that was slow takes off a window that is wider than the first.
	windowYield = 0.25
	// windowRest is the pause after a cut: what was in flight then says the same again.
	windowRest = 5 * time.Second
)

// window is how many evacuations may be in flight, as learnt from those before: it
// grows with each that ends well and was not slow, and is halved when Nova's API does
// not keep up. The policy's limit stands above it.
type window struct {
	hosts int // that may take some, by Placement; 0: not known
	size  float64
	calm  float64 // trouble was met beyond it: growth is slow from there on
	cut   time.Time
	rest  time.Time     // nothing is sent before: the API asked for that
	best  time.Duration // the quickest build
}

// limit is the window under the policy's.
func (w *window) limit(most int) int {
	if w.size == 0 {
		w.size = max(windowFirst, float64(windowEach*w.hosts))
	}
	return max(1, min(int(w.size), most))
}

// done takes an evacuation that ended well, after took since its promise.
func (w *window) done(took time.Duration, most int) {
	if took > 0 && (w.best == 0 || took < w.best) {
		w.best = took
	}
	w.limit(most)
	switch {
	case took > 2*w.best+5*time.Second: // the destinations queue: more at once ends no sooner
		w.size = max(w.size-windowYield, min(w.size, windowFirst))
	case w.calm > 0 && w.size >= w.calm:
		w.size += 1 / w.size
	default:
		w.size++
	}
	if w.hosts > 0 {
		most = min(most, max(windowFirst, windowMost*w.hosts))
	}
	w.size = min(w.size, float64(max(most, 1)))
}

// trouble takes a POST that Nova's API did not answer in time, or not at all.
func (w *window) trouble(now time.Time, most int) {
	limit := w.limit(most)
	if !w.cut.IsZero() && now.Sub(w.cut) >= 0 && now.Sub(w.cut) < windowRest {
		return
	}
	w.size = max(windowLeast, float64(limit)/2)
	w.calm, w.cut = w.size, now
}

// busy takes an answer by which Nova's API turned a POST away for the moment, and for how
// long it asks to be left alone.
func (w *window) busy(now time.Time, wait time.Duration, most int) {
	w.trouble(now, most)
	if until := now.Add(max(wait, windowRest)); until.After(w.rest) {
		w.rest = until
	}
}

// resting says that the API has asked to be left alone. A rest that is longer than any was
// begun before a clock was set back.
func (w *window) resting(now time.Time) bool {
	left := w.rest.Sub(now)
	return left > 0 && left <= 2*retryMost
}
