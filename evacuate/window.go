package evacuate

import "time"

const (
	// windowFirst is how many evacuations are in flight before anything is known of
	// how this cloud takes them, windowLeast what trouble may bring that down to.
	windowFirst = 20
	windowLeast = 2
	// windowRest is the pause after a cut: what was in flight then says the same again.
	windowRest = 5 * time.Second
)

// window is how many evacuations may be in flight, as learnt from those before: it
// grows with each that ends well and was not slow, and is halved when Nova's API does
// not keep up. The policy's limit stands above it.
type window struct {
	size float64
	calm float64 // trouble was met beyond it: growth is slow from there on
	cut  time.Time
	best time.Duration // the quickest build
}

// limit is the window under the policy's.
func (w *window) limit(most int) int {
	if w.size == 0 {
		w.size = windowFirst
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
	case took > 3*w.best+5*time.Second: // the destinations queue: more at once ends no sooner
	case w.calm > 0 && w.size >= w.calm:
		w.size += 1 / w.size
	default:
		w.size++
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
