package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// HelloPath is where HelloHandler belongs.
const HelloPath = "/v1/ledger/hello"

const maxGreeting = 1 << 20

// HelloHandler answers hello over HTTP. It must stand behind a check that the
// caller is a controller.
func (l *Ledger) HelloHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(l.Greeting(r.Context())); err != nil {
			l.log.Debug("ledger: hello was not answered", "reason", err)
		}
	})
}

// HTTPHello says hello over HTTP, by clients that make sure whom they talk to.
func HTTPHello(client func(id, address string) *http.Client) Hello { return httpHello(client) }

type httpHello func(id, address string) *http.Client

// Hello asks one replica.
func (h httpHello) Hello(ctx context.Context, to Peer) (Greeting, error) {
	var g Greeting
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+to.Address+HelloPath, nil)
	if err != nil {
		return g, fmt.Errorf("say hello to %s: %w", to.ID, err)
	}
	resp, err := h(to.ID, to.Address).Do(req)
	if err != nil {
		return g, fmt.Errorf("say hello to %s: %w", to.ID, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxGreeting))
	if err != nil {
		return g, fmt.Errorf("say hello to %s: %w", to.ID, err)
	}
	if resp.StatusCode != http.StatusOK {
		return g, fmt.Errorf("say hello to %s: %s: %.200s", to.ID, resp.Status, body)
	}
	if err := json.Unmarshal(body, &g); err != nil {
		return g, fmt.Errorf("say hello to %s: decode its answer: %w", to.ID, err)
	}
	return g, nil
}
