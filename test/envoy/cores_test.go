package envoy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"golang.org/x/tools/txtar"

	"weft/test/harness"
)

// coresRules are the rules of testdata/cores. They differ in who may get a kept core, and what for.
const coresRules = `
version: 1
envoy: {credentials: [x-session]}
rules:
  # The last good core stands in, for everybody.
  - name: always
    match: {path: "/always/{userId:int64}"}
    degrade: always
    core: {verify: {userId: userId}, stale_if_error: 10m}
    extensions: &profile
      extension:
        database: user_profiles
        collection: profiles
        where: {userId: {param: userId}}
        fields: {tags: {type: strings, default: []}}
  # The same, with a message.
  - name: message
    match: {path: "/message/{userId:int64}"}
    degrade: always
    messages: {core_stale: The core is old.}
    core: {verify: {userId: userId}, stale_if_error: 10m}
    extensions: *profile
  # The caller's own last core.
  - name: own
    match: {path: "/own/{userId:int64}"}
    degrade: authenticated
    identity: {payload: token, claim: user}
    core: {verify: {userId: userId}, stale_if_error: 10m}
    extensions: *profile
  # A shared HTTP cache.
  - name: cached
    match: {path: "/cached/{userId:int64}"}
    core: {verify: {userId: userId}, cache: true}
    select: {param: fields}
    extensions: *profile
  # Both, under another path and in another shape, and with a method that changes the core.
  - name: both
    match: {path: "/both/{userId:int64}"}
    legacy_path: "/cached/{userId}"
    degrade: always
    core: {verify: {userId: userId}, cache: true, stale_if_error: 10m}
    extensions: *profile
  # The same for concurrent requests.
  - name: one
    match: {path: "/one/{userId:int64}"}
    core: {verify: {userId: userId}, cache: true, coalesce: true}
    extensions: *profile
  - name: merged
    match: {path: "/merged/{userId:int64}", methods: [GET, PUT]}
    shape: merge
    core: {verify: {userId: userId}, cache: true}
    extensions: *profile
`

// TestCores replays testdata/cores through the real Envoy. A file says what it shows, and has the requests of one
// client after the other, each with
//
//	-- request --         method, target and headers; {id} is the user of the file, {token} a token of that user, and
//	                      {other token} one of another user
//	-- legacy --          as in [TestCases]
//	-- legacy request --  as in [TestCases]; "tries: 0" if the legacy service must not be asked
//	-- answer --          as in [TestCases]; age is the least
func TestCores(t *testing.T) {
	key := newKey(t)
	s := startSystem(t, systemOptions{rules: parseRules(t, coresRules), filters: []*hcmv3.HttpFilter{jwtFilter(t, key)}})
	replayCores(t, s, key)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// replayCores replays testdata/cores, each with a user of its own.
func replayCores(t *testing.T, s *system, key *ecdsa.PrivateKey) {
	t.Helper()
	files, err := filepath.Glob("testdata/cores/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for i, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(archive.Comment) == 0 {
				t.Error("the case does not say what it shows")
			}
			id := strconv.Itoa(100 + i)
			fill := strings.NewReplacer("{id}", id,
				"{token}", "Bearer "+token(t, key, strconv.Quote(id)), "{other token}", "Bearer "+token(t, key, `"1"`))
			var steps []coreStep
			for _, f := range archive.Files {
				if f.Name == "request" {
					steps = append(steps, coreStep{})
				}
				steps[len(steps)-1].set(t, f.Name, fill.Replace(string(f.Data)))
			}
			for n, step := range steps {
				t.Run(strconv.Itoa(n+1), func(t *testing.T) { step.run(t, s) })
				if t.Failed() {
					return
				}
			}
		})
	}
}

// youngest is the age in an answer of a case. On a slow machine, the core is older.
var youngest = regexp.MustCompile(`(?m)^age: ([0-9]+)\n`)

func ageOf(text string) int {
	seconds, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return seconds
}

// coreStep is one request of a case.
type coreStep struct{ request, legacy, legacyRequest, answer string }

func (c *coreStep) set(t *testing.T, name, text string) {
	t.Helper()
	field := map[string]*string{
		"request": &c.request, "legacy": &c.legacy, "legacy request": &c.legacyRequest, "answer": &c.answer,
	}[name]
	if field == nil {
		t.Fatalf("no such section: %q", name)
	}
	*field = text
}

func (c coreStep) run(t *testing.T, s *system) {
	head, requestBody, _ := strings.Cut(c.request, "\n\n")
	line, headers, _ := strings.Cut(strings.TrimSuffix(head, "\n"), "\n")
	method, target, _ := strings.Cut(line, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+target, strings.NewReader(requestBody))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range parseHeaders(headers) {
		req.Header.Add(h[0], h[1])
	}
	seen := make(chan http.Header, 10)
	respond := raw("HTTP/1.1 599 Not Expected\r\ncontent-length: 0\r\n\r\n")
	if c.legacy != "" {
		if respond, _, err = parseScript(c.legacy); err != nil {
			t.Fatal(err)
		}
	}
	path, _, _ := strings.Cut(regexp.MustCompile("^/both/").ReplaceAllString(target, "/cached/"), "?")
	s.legacy.answer(path, func(conn net.Conn, r *http.Request) bool {
		saw := r.Header.Clone()
		saw.Set("method", r.Method)
		saw.Set("target", r.RequestURI)
		_, _ = io.ReadAll(r.Body)
		seen <- saw
		return respond(conn, r)
	})
	if isRefused(c.legacy) {
		s.legacy.stop()
		defer s.legacy.start()
	}
	got := do(t, http1, req)
	checkAnswer(t, youngest.ReplaceAllString(c.answer, ""), "", got)
	if want := youngest.FindStringSubmatch(c.answer); want != nil && ageOf(got.Header.Get("Age")) < ageOf(want[1]) {
		t.Errorf("the client got age %q, want at least %s", got.Header.Get("Age"), want[1])
	}
	if want := parseHeaders(c.legacyRequest); len(want) > 0 {
		saw := http.Header{}
		tries := len(seen)
		if tries > 0 {
			saw = <-seen
		}
		saw.Set("tries", strconv.Itoa(tries))
		checkHeaders(t, "the legacy service saw", want, saw)
	}
}

// TestCoalesce: of concurrent requests for a core, the legacy service gets one.
func TestCoalesce(t *testing.T) {
	checkCoalesce(t, startSystem(t, systemOptions{rules: parseRules(t, coresRules)}))
}

func checkCoalesce(t *testing.T, s *system) {
	t.Helper()
	const clients = 8
	arrived, release := make(chan struct{}, clients), make(chan struct{})
	s.legacy.answer("/one/7", func(c net.Conn, r *http.Request) bool {
		arrived <- struct{}{}
		<-release
		return raw("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 12\r\n\r\n{\"userId\":7}")(c, r)
	})
	answers := make(chan string, clients)
	for range clients {
		req := s.newRequest(t, http.MethodGet, "/one/7")
		go func() {
			got, err := try(http1, req)
			answers <- fmt.Sprintln(got.Status, got.Body, err)
		}()
	}
	harness.Eventually(t, "all requests have arrived", func() bool {
		return s.stat(t, "http.main.downstream_rq_active") == clients
	})
	close(release)
	for range clients {
		want := fmt.Sprintln(200, `{"core":{"userId":7},"extension":{"tags":[]},"errors":[]}`, nil)
		if got := <-answers; got != want {
			t.Errorf("got %s", got)
		}
	}
	if n := len(arrived); n != 1 {
		t.Errorf("the legacy service got %d requests", n)
	}
}
