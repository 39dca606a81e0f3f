package envoy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	legacyrouter "github.com/getkin/kin-openapi/routers/legacy"

	"weft/enrich"
	"weft/internal/openapi"
	"weft/test/harness"
)

// contract is what weft openapi prints for rules.
type contract struct {
	rules  enrich.Rules
	router routers.Router
}

func contractOf(t *testing.T, rules []*enrich.Rule) contract {
	t.Helper()
	text, err := openapi.Document(rules, "1", nil)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacyrouter.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return contract{enrich.NewRules(rules), router}
}

// check validates an answer. It ignores encoded bodies, and answers that are not described: those to HEAD and to
// requests that match no rule.
func (c contract) check(t *testing.T, req *http.Request, got harness.Answer) {
	t.Helper()
	_, _, ok := c.rules.Match(enrich.Request{Method: req.Method, Path: req.URL.RequestURI()})
	if !ok || req.Method == http.MethodHead || got.Header.Get("content-encoding") != "" {
		return
	}
	req = req.Clone(t.Context())
	req.URL.Scheme, req.URL.Host, req.Host = "", "", "" // the document has no servers
	route, params, err := c.router.FindRoute(req)
	if err != nil {
		t.Errorf("weft openapi: %v", err)
		return
	}
	if err := openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 got.Status,
		Header:                 got.Header,
		Body:                   io.NopCloser(strings.NewReader(got.Body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true},
	}); err != nil {
		t.Errorf("weft openapi does not describe the answer: %.2000v", err)
	}
}
