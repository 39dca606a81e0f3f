// Package examples tests the examples: each directory with rules has data and requests for them.
package examples

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/tools/txtar"

	"weft/test/harness"
)

// TestExamples runs each example with its own weft, Envoy and mongod. A txtar file has
//
//	-- mongodb DATABASE.COLLECTION --  documents as Extended JSON, one per line
//	-- legacy PATH --                  the body of the legacy response
//	-- GET PATH --                     headers ("-" if absent), an empty line, and the body that the client gets
func TestExamples(t *testing.T) {
	weft := filepath.Join(t.TempDir(), "weft")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", weft, ".")
	build.Dir = ".."
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	files, err := filepath.Glob("*/example.txtar")
	if err != nil || len(files) < 3 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Dir(file), func(t *testing.T) { run(t, weft, file) })
	}
}

func run(t *testing.T, weft, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(filepath.Join(filepath.Dir(file), "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s := harness.NewTestSystem(t, weft)
	if err := errors.Join(s.StartMongod(t.Context()), s.StartLegacy()); err != nil {
		t.Fatal(err)
	}
	bodies := map[string]string{}
	s.Legacy.Handle(legacyService(bodies))
	if _, err := s.StartWeft(t.Context(), "--rules", rules); err != nil {
		t.Fatal(err)
	}
	if err := s.StartEnvoy(t.Context(), "--rules", rules); err != nil {
		t.Fatal(err)
	}

	for _, section := range archive.Files {
		kind, what, _ := strings.Cut(section.Name, " ")
		body := strings.TrimSuffix(string(section.Data), "\n")
		switch kind {
		case "mongodb":
			insert(t, s.Mongod, what, body)
		case "legacy":
			bodies[what] = body
		case "GET":
			t.Run(what, func(t *testing.T) { get(t, s.URL+what, body) })
		default:
			t.Fatalf("unknown section %s", section.Name)
		}
	}
}

// legacyService responds with chunked JSON, like Spring Boot. The keys are paths.
type legacyService map[string]string

func (l legacyService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := l[r.URL.EscapedPath()]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("content-type", "application/json")
	_ = http.NewResponseController(w).Flush()
	_, _ = io.WriteString(w, body)
}

func insert(t *testing.T, mongod *harness.Mongod, namespace, documents string) {
	t.Helper()
	for line := range strings.Lines(documents) {
		var doc bson.D
		if err := bson.UnmarshalExtJSON([]byte(line), false, &doc); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if err := mongod.Insert(t.Context(), namespace, doc); err != nil {
			t.Fatal(err)
		}
	}
}

func get(t *testing.T, url, want string) {
	t.Helper()
	got, err := harness.Get(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	headers, body, _ := strings.Cut(want, "\n\n")
	for line := range strings.Lines(headers) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if has := cmp.Or(got.Header.Get(name), "-"); has != value {
			t.Errorf("%s: %q, want %q", name, has, value)
		}
	}
	if strings.TrimSuffix(got.Body, "\n") != body {
		t.Errorf("body\n got %s\nwant %s", got.Body, body)
	}
}
