package envoy_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/tools/txtar"

	"weft/test/harness"
)

// routes are the paths of the built-in rules. Both lead to the same path of the legacy service.
var routes = []struct{ name, path string }{
	{"v1", "/api/v1/users"},
	{"v3", "/api/v3/composite-profile"},
}

// TestCases replays testdata/cases through the real Envoy and the real mongod, each on both routes, over HTTP/1.1 and
// HTTP/2. A case is a txtar file: what it shows, then
//
//	-- request --         method, target ({path} is the route's), headers, and a body after an empty line; if absent,
//	                      GET {path}/7
//	-- legacy --          the legacy service's answer: see parseScript
//	-- mongodb --         the documents of the collection, as Extended JSON; none if absent
//	-- legacy request --  headers of the request that the legacy service must have seen; "-" for absent; as if they were
//	                      headers, its method, target and body, and tries, how often it came
//	-- answer --          status, headers ("-" for absent) and exact body that the client must get; "answer v1" and
//	                      "answer v3" where the routes differ; {legacy body} is the body as it was sent
func TestCases(t *testing.T) {
	replayCases(t, startSystem(t, systemOptions{timeout: caseTimeout}), "testdata/cases/*/*.txtar")
}

// caseTimeout is the route timeout. Cases with a legacy service that hangs wait for it.
const caseTimeout = 2 * time.Second

// replayCases replays the cases in files that match a pattern. It also validates the answers against the output of weft
// openapi.
func replayCases(t *testing.T, s *system, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	described := contractOf(t, s.rules)
	for _, file := range files {
		c, err := readCase(file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		for _, route := range routes {
			t.Run(name+"/"+route.name, func(t *testing.T) { c.run(t, s, described, http1, route.name, route.path) })
			t.Run(name+"/"+route.name+" over HTTP 2", func(t *testing.T) {
				c.run(t, s, described, http2, route.name, route.path)
			})
		}
	}
}

type testCase struct {
	shows         string
	request       string
	legacy        string
	documents     []bson.Raw
	legacyRequest string
	answers       map[string]string // by route
}

func readCase(file string) (testCase, error) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		return testCase{}, err
	}
	if len(archive.Comment) == 0 {
		return testCase{}, errors.New("the case does not say what it shows")
	}
	shows := strings.Join(strings.Fields(string(archive.Comment)), " ")
	c := testCase{shows: shows, request: "GET {path}/7\n", answers: map[string]string{}}
	for _, f := range archive.Files {
		text := string(f.Data)
		switch f.Name {
		case "request":
			c.request = text
		case "legacy":
			c.legacy = text
		case "legacy request":
			c.legacyRequest = text
		case "mongodb":
			if c.documents, err = parseDocuments(text); err != nil {
				return testCase{}, err
			}
		case "answer":
			c.answers["v1"], c.answers["v3"] = text, text
		case "answer v1", "answer v3":
			c.answers[strings.TrimPrefix(f.Name, "answer ")] = text
		default:
			return testCase{}, fmt.Errorf("no such section: %q", f.Name)
		}
	}
	if c.legacy == "" || c.answers["v1"] == "" || c.answers["v3"] == "" {
		return testCase{}, errors.New("a case needs the sections legacy and answer")
	}
	return c, nil
}

func parseDocuments(text string) ([]bson.Raw, error) {
	var docs []bson.Raw
	for dec := jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true)); ; {
		value, err := dec.ReadValue()
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		var doc bson.D
		if err := bson.UnmarshalExtJSON(value, false, &doc); err != nil {
			return nil, err
		}
		raw, err := bson.Marshal(doc)
		if err != nil {
			return nil, err
		}
		docs = append(docs, raw)
	}
}

func (c testCase) run(t *testing.T, s *system, described contract, p protocol, route, path string) {
	head, requestBody, _ := strings.Cut(c.request, "\n\n")
	line, headers, _ := strings.Cut(head, "\n")
	method, target, _ := strings.Cut(line, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+strings.ReplaceAll(target, "{path}", path),
		strings.NewReader(strings.TrimSuffix(requestBody, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range parseHeaders(headers) {
		req.Header.Add(h[0], h[1])
	}

	respond, sent, err := parseScript(c.legacy)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan http.Header, 10) // of a first try and a retry
	legacyPath, _, _ := strings.Cut(strings.ReplaceAll(target, "{path}", "/api/v1/users"), "?")
	s.legacy.answer(legacyPath, func(conn net.Conn, r *http.Request) bool {
		saw := r.Header.Clone()
		saw.Set("method", r.Method)
		saw.Set("target", r.RequestURI)
		if body, _ := io.ReadAll(r.Body); len(body) > 0 {
			saw.Set("body", string(body))
		}
		seen <- saw
		return respond(conn, r)
	})
	s.setProfiles(c.documents...)
	if isRefused(c.legacy) {
		s.legacy.stop()
		defer s.legacy.start()
	}

	got := do(t, p, req)
	checkAnswer(t, c.answers[route], sent, got)
	described.check(t, req, got)
	if want := parseHeaders(c.legacyRequest); len(want) > 0 {
		tries := len(seen)
		if tries == 0 {
			t.Fatal("the legacy service saw no request")
		}
		saw := <-seen
		saw.Set("tries", strconv.Itoa(tries))
		checkHeaders(t, "the legacy service saw", want, saw)
	}
}

// isRefused reports whether a script is that nothing listens: connections are refused.
func isRefused(legacy string) bool { return strings.HasPrefix(legacy, "! refuse") }

// checkAnswer compares an answer with the text of a case. sent is the body that the legacy service sent.
func checkAnswer(t *testing.T, want, sent string, got harness.Answer) {
	t.Helper()
	head, body, _ := strings.Cut(want, "\n\n")
	statusLine, headers, _ := strings.Cut(strings.TrimSuffix(head, "\n"), "\n")
	status, err := strconv.Atoi(statusLine)
	if err != nil {
		t.Fatalf("answer: the first line is to be a status, not %q", statusLine)
	}
	if got.Status != status {
		t.Errorf("status %d, want %d; the answer is %.500q", got.Status, status, got.Body)
	}
	checkHeaders(t, "the client got", parseHeaders(headers), got.Header)
	body = strings.ReplaceAll(strings.TrimSuffix(body, "\n"), "{legacy body}", sent)
	if got.Body != body {
		t.Errorf("body\n got %.2000q\nwant %.2000q", got.Body, body)
	}
}

// parseHeaders reads lines of "name: value".
func parseHeaders(text string) (headers [][2]string) {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			headers = append(headers, [2]string{name, strings.TrimSpace(value)})
		}
	}
	return headers
}

// checkHeaders compares what is wanted; "-" stands for a header that is not there.
func checkHeaders(t *testing.T, who string, want [][2]string, got http.Header) {
	t.Helper()
	for _, h := range want {
		value := "-"
		if values := got.Values(h[0]); len(values) > 0 {
			value = strings.Join(values, ", ")
		}
		if value != h[1] {
			t.Errorf("%s %s: %q, want %q", who, h[0], value, h[1])
		}
	}
}
