package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"strings"
	"testing"

	openapidoc "github.com/swaggest/openapi-go"
	"github.com/swaggest/openapi-go/openapi31"
)

var update = flag.Bool("update", false, "write openapi.json anew")

// TestOpenAPI holds the document to the routes and to the types they answer.
func TestOpenAPI(t *testing.T) {
	got := document(t)
	if *update {
		if err := os.WriteFile("openapi.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the API is not what openapi.json says: `go test ./evacuate/api -run TestOpenAPI -update` writes it anew")
	}
}

// Problem is every error's body (RFC 9457).
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Done is a command's answer.
type Done struct {
	Text string `json:"text"`
}

func document(t *testing.T) []byte {
	t.Helper()
	r := openapi31.NewReflector()
	r.Spec.Info.WithTitle("Lifeboat").WithVersion("v1").WithDescription("Each controller answers for the whole; what only the leader knows is asked of it. Durations are nanoseconds, times RFC 3339.")
	r.Spec.SetHTTPBearerTokenSecurity("token", "", "A line of api.token_file.")
	add := func(method, path, id, says string, answer any, codes []int, more func(openapidoc.OperationContext)) {
		op, err := r.NewOperationContext(method, path)
		if err != nil {
			t.Fatal(err)
		}
		op.SetID(id)
		op.SetSummary(says)
		op.AddSecurity("token")
		kind := openapidoc.WithContentType("application/json")
		if strings.HasSuffix(path, "/events") {
			kind = openapidoc.WithContentType("text/event-stream")
		}
		op.AddRespStructure(answer, openapidoc.WithHTTPStatus(http.StatusOK), kind)
		if _, ok := answer.(interface{ Text() string }); ok {
			op.AddRespStructure("", openapidoc.WithHTTPStatus(http.StatusOK), openapidoc.WithContentType("text/plain"))
		}
		for _, code := range codes {
			op.AddRespStructure(Problem{}, openapidoc.WithHTTPStatus(code), openapidoc.WithContentType("application/problem+json"))
		}
		if more != nil {
			more(op)
		}
		if err := r.AddOperation(op); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	for _, route := range (&server{}).reads() {
		codes := []int{http.StatusUnauthorized, http.StatusServiceUnavailable}
		var more func(openapidoc.OperationContext)
		switch {
		case strings.Contains(route.path, "{host}"):
			more = func(op openapidoc.OperationContext) {
				op.AddReqStructure(struct {
					Host string `path:"host"`
				}{})
			}
		case strings.Contains(route.path, "{id}"):
			more = func(op openapidoc.OperationContext) {
				op.AddReqStructure(struct {
					ID string `path:"id"`
				}{})
			}
		}
		if more != nil {
			codes = append(codes, http.StatusNotFound)
		}
		add(http.MethodGet, route.path, operationID(route.path), route.says, route.answer, codes, more)
	}
	add(http.MethodPost, "/v1/commands", "command", "Carry out an operator's command; the role that it takes depends on the verb.", Done{},
		[]int{400, 401, 403, 404, 409, 500, 503}, func(op openapidoc.OperationContext) {
			op.AddReqStructure(Command{}, openapidoc.WithContentType("application/json"))
		})
	b, err := json.MarshalIndent(r.Spec, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// operationID is the path's words: "hosts-host-explain".
func operationID(path string) string {
	return strings.NewReplacer("/v1/", "", "/", "-", "{", "", "}", "").Replace(path)
}
