package envoy_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"weft/internal/rulesfile"
)

// TestFallback replays the legacy answers of all cases while weft is down. The composite route keeps its shape, and the
// fallback in Envoy finds a core in just those bodies in which weft would; on the other route the legacy answer passes.
func TestFallback(t *testing.T) {
	s := startSystem(t, systemOptions{})
	s.weft.Stop()
	rule := rulesfile.Builtin().Rules[1]

	const bothFailed = "503\n\n" + `{"detail":"All upstream services are unavailable."}`
	const envoyBuffer = 1<<20 + 64<<10 // what is longer, and does not say so, Envoy cannot hold to wrap it
	files, err := filepath.Glob("testdata/cases/*.txtar")
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
			if strings.HasPrefix(c.legacy, "!") && plain.status == http.StatusServiceUnavailable {
				mark = "degraded; reason=legacy-unreachable" // nor a legacy service
			}
			checkHeaders(t, "the client of v1 got", [][2]string{{"x-weft", mark}}, plain.header)
			if plain.status == http.StatusOK && plain.body != sent {
				t.Errorf("v1 body\n got %.2000q\nwant %.2000q", plain.body, sent)
			}

			got := s.get(t, "/api/v3/composite-profile/7")
			switch want := bothFailed; {
			case plain.header.Get("content-encoding") != "":
				// It cannot be read.
			case plain.status >= 500 && len(sent) > rule.CoreLimit && plain.header.Get("content-length") != "":
				checkAnswer(t, fmt.Sprintf("%d\nx-weft: -\n\n{legacy body}", plain.status), sent, got) // it cannot be held
			case plain.status >= 200 && plain.status < 300 && plain.status != http.StatusPartialContent:
				core, ok := rule.ParseCore([]byte(sent), "")
				switch {
				case !ok && (len(sent) < envoyBuffer || plain.header.Get("content-length") != ""):
					want = "200\nx-weft: -\n\n{legacy body}"
				case ok && core.Failed == "":
					want = fmt.Sprint(plain.status) + "\nx-weft: degraded; reason=weft-unavailable\n\n" +
						`{"core":` + string(core.JSON) + `,"extension":null,"errors":["Failed to fetch extended user profile."]}`
				}
				checkAnswer(t, want, sent, got)
			case plain.status >= 500 || plain.status == http.StatusNotFound:
				checkAnswer(t, want, "", got)
			default:
				if got.status != plain.status || got.body != plain.body {
					t.Errorf("%d %q on v3, want what v1 got: %d %q", got.status, got.body, plain.status, plain.body)
				}
			}
		})
	}
}

// TestFallbackOfQuery: what weft leaves alone for its query, the fallback leaves alone, too, whether weft is there or not.
func TestFallbackOfQuery(t *testing.T) {
	s := startSystem(t, systemOptions{rules: parseRules(t, `version: 1
rules:
  - name: thing
    match: {path: /thing, query: {id: {type: int64}, view: {value: full}}}
    fallback: composite
    extensions: {e: {database: d, collection: c, where: {id: {param: id}}, fields: {v: {type: string, default: none}}}}
`)})
	s.legacy.answer("/thing", raw(chunked(`{"n":1}`)))
	for _, want := range []string{`{"core":{"n":1},"e":{"v":"none"},"errors":[]}`, `{"core":{"n":1},"e":null,"errors":["Failed to fetch e."]}`} {
		for query, want := range map[string]string{
			"?id=7&view=full": want, "?x&view=full&id=-7&": want,
			"?id=7&view=full&id=7": `{"n":1}`, "?id=07&view=full": `{"n":1}`, "?id=&view=full": `{"n":1}`,
			"?%69d=7&view=full": `{"n":1}`, "?id=7&view=ful": `{"n":1}`, "?id=7": `{"n":1}`, "": `{"n":1}`,
		} {
			if got := s.get(t, "/thing"+query); got.body != want {
				t.Errorf("%s: %s, want %s", query, got.body, want)
			}
		}
		s.weft.Stop()
	}
}
