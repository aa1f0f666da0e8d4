package api

import (
	"net/http"

	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// RingStatus is the ring's key in force and the rotation under way, if there is
// one. It never holds a key.
type RingStatus struct {
	Epoch       int                    `json:"epoch"`
	Fingerprint string                 `json:"fingerprint,omitempty"` // empty: the key of the controllers' files
	Rotation    *evacuate.RingRotation `json:"rotation,omitempty"`
	// Waiting says what the next phase waits for.
	Waiting []string `json:"waiting,omitempty"`
}

func (s *server) ring(w http.ResponseWriter, r *http.Request) {
	if s.o.Ring == nil {
		problem(w, http.StatusNotFound, "there is nothing at "+r.URL.Path)
		return
	}
	reply(w, s.o.Ring())
}
