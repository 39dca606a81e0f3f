package envoy_test

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"weft/internal/rulesfile"
)

// TestFallback replays the legacy responses of all cases while weft is down. On the composite route the shape stays,
// and the fallback in Envoy finds a core in exactly those bodies in which weft would. On the other route the legacy
// response passes.
func TestFallback(t *testing.T) {
	s := startSystem(t, systemOptions{})
	s.weft.Stop()
	rule := rulesfile.Builtin().Rules[1]

	const bothFailed = "503\n\n" + `{"detail":"All upstream services are unavailable."}`
	const envoyBuffer = 1<<20 + 64<<10 // Envoy cannot wrap a longer body of unknown length
	files, err := filepath.Glob("testdata/cases/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		c, err := readCase(file)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if c.request != "GET {path}/7\n" {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			respond, sent, err := parseScript(c.legacy)
			if err != nil {
				t.Fatal(err)
			}
			s.legacy.answer("/api/v1/users/7", respond)
			if breaksOff := strings.Contains(c.legacy, "-in-body") || strings.Contains(c.legacy, "bad-chunk") ||
				strings.Contains(c.legacy, "content-length: 1000"); breaksOff {
				checkAnswer(t, bothFailed, "", s.get(t, "/api/v3/composite-profile/7")) // and on v1 it breaks off, too
				return
			}
			plain := s.get(t, "/api/v1/users/7")
			mark := "-" // there is no weft
			if strings.HasPrefix(c.legacy, "!") && plain.Status == http.StatusServiceUnavailable {
				mark = "degraded; reason=legacy-unreachable" // nor a legacy service
			}
			checkHeaders(t, "the client of v1 got", [][2]string{{"x-weft", mark}}, plain.Header)
			if plain.Status == http.StatusOK && plain.Body != sent {
				t.Errorf("v1 body\n got %.2000q\nwant %.2000q", plain.Body, sent)
			}

			got := s.get(t, "/api/v3/composite-profile/7")
			switch want := bothFailed; {
			case plain.Header.Get("content-encoding") != "":
				// It cannot be read.
			case plain.Status >= 500 && len(sent) > rule.CoreLimit && plain.Header.Get("content-length") != "":
				checkAnswer(t, fmt.Sprintf("%d\nx-weft: -\n\n{legacy body}", plain.Status), sent, got) // it cannot be held
			case plain.Status >= 200 && plain.Status < 300 && plain.Status != http.StatusPartialContent:
				core, ok := rule.ParseCore([]byte(sent), "")
				switch {
				case !ok && (len(sent) < envoyBuffer || plain.Header.Get("content-length") != ""):
					want = "200\nx-weft: -\n\n{legacy body}"
				case ok && core.Failed == "":
					want = fmt.Sprint(plain.Status) + "\nx-weft: degraded; reason=weft-unavailable\n\n" +
						`{"core":` + string(core.JSON) + `,"extension":null,"errors":["Failed to fetch extended user profile."]}`
				}
				checkAnswer(t, want, sent, got)
			case plain.Status >= 500 || plain.Status == http.StatusNotFound:
				checkAnswer(t, want, "", got)
			default:
				if got.Status != plain.Status || got.Body != plain.Body {
					t.Errorf("%d %q on v3, want what v1 got: %d %q", got.Status, got.Body, plain.Status, plain.Body)
				}
			}
		})
	}
}

// TestFallbackNeverDegrades: while weft is down, a response without a valid core passes if the rule says so.
func TestFallbackNeverDegrades(t *testing.T) {
	s := startSystem(t, systemOptions{rules: parseRules(t, `version: 1
rules:
  - name: thing
    match: {path: "/thing"}
    fallback: composite
    degrade: never
    extensions: {e: {database: d, collection: c, where: {id: {value: 1}}, fields: {v: {type: string, default: none}}}}
`)})
	const failure, page = "500\nx-weft: -\n\nno", "200\nx-weft: -\ncontent-type: text/html\n\n<h1>"
	for _, test := range []struct{ legacy, want string }{
		{"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nno", failure},
		{withLength("<h1>", "content-type: text/html\r\n"), page},
		{withLength(`{"n":1}`, ""), "200\nx-weft: degraded; reason=weft-unavailable\n\n" +
			`{"core":{"n":1},"e":null,"errors":["Failed to fetch e."]}`},
	} {
		s.weft.Stop()
		s.legacy.answer("/thing", raw(test.legacy))
		checkAnswer(t, test.want, "", s.get(t, "/thing"))
	}
}

// TestFallbackMatchesQuery: if weft does not handle a request because of its query, the fallback does not either.
func TestFallbackMatchesQuery(t *testing.T) {
	s := startSystem(t, systemOptions{rules: parseRules(t, `version: 1
rules:
  - name: thing
    match: {path: /thing, query: {id: {type: int64}, view: {value: full}}}
    fallback: composite
    extensions: {e: {database: d, collection: c, where: {id: {param: id}}, fields: {v: {type: string, default: none}}}}
`)})
	s.legacy.answer("/thing", raw(chunked(`{"n":1}`)))
	for _, want := range []string{
		`{"core":{"n":1},"e":{"v":"none"},"errors":[]}`, `{"core":{"n":1},"e":null,"errors":["Failed to fetch e."]}`,
	} {
		for query, want := range map[string]string{
			"?id=7&view=full": want, "?x&view=full&id=-7&": want,
			"?id=7&view=full&id=7": `{"n":1}`, "?id=07&view=full": `{"n":1}`, "?id=&view=full": `{"n":1}`,
			"?%69d=7&view=full": `{"n":1}`, "?id=7&view=ful": `{"n":1}`, "?id=7": `{"n":1}`, "": `{"n":1}`,
		} {
			if got := s.get(t, "/thing"+query); got.Body != want {
				t.Errorf("%s: %s, want %s", query, got.Body, want)
			}
		}
		s.weft.Stop()
	}
}

// TestFallbackRequestsWholeResponse: while weft is down, a request whose response the fallback wraps has no range, no
// condition and no encoding. Other requests stay as they are.
func TestFallbackRequestsWholeResponse(t *testing.T) {
	s := startSystem(t, systemOptions{})
	s.weft.Stop()
	s.legacy.answer("/api/v1/users/7", func(c net.Conn, r *http.Request) bool {
		switch {
		case strings.Contains(r.Header.Get("accept-encoding"), "gzip"):
			return raw(withLength(gzipped(coreUser7), "content-encoding: gzip\r\n"))(c, r)
		case r.Header.Get("range") != "":
			return raw("HTTP/1.1 206 Partial Content\r\ncontent-length: 4\r\n"+
				"content-range: bytes 0-3/55\r\n\r\n{\"us")(c, r)
		case r.Header.Get("if-none-match") != "":
			return raw("HTTP/1.1 304 Not Modified\r\netag: \"L\"\r\n\r\n")(c, r)
		}
		return raw(withLength(coreUser7, "content-encoding: identity\r\n"))(c, r)
	})
	wrapped := "200\nx-weft: degraded; reason=weft-unavailable\n\n" + degradedUser7
	for _, test := range []struct{ path, header, value, want string }{
		{"/api/v3/composite-profile/7", "accept-encoding", "gzip, br", wrapped},
		{"/api/v3/composite-profile/7", "range", "bytes=0-3", wrapped},
		{"/api/v3/composite-profile/7", "if-none-match", `"L"`, wrapped},
		{"/api/v1/users/7", "accept-encoding", "gzip, br", "200\ncontent-encoding: gzip\n\n" + gzipped(coreUser7)},
		{"/api/v1/users/7", "range", "bytes=0-3", "206\n\n{\"us"},
		{"/api/v1/users/7", "if-none-match", `"L"`, "304\n\n"},
	} {
		checkAnswer(t, test.want, "", s.get(t, test.path, test.header, test.value))
	}
}
