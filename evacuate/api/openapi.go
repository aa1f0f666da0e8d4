package api

import (
	_ "embed"
	"net/http"
)

// openapiJSON is written by TestOpenAPI -update from the routes and the types
// that they answer.
//
//go:embed openapi.json
var openapiJSON []byte

// openapi describes /v1 to programs; it needs no token.
func openapi(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openapiJSON)
}
