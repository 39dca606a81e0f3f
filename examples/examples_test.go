// Package examples holds the worked examples: each folder with rules has data and requests beside them, which are run
// here.
package examples

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/tools/txtar"

	stack "weft/test/harness"
)

// TestExamples runs each example with a weft, an Envoy and a mongod of its own. A txtar file has
//
//	-- mongodb DATABASE.COLLECTION --  documents, as Extended JSON, one on each line
//	-- legacy PATH --                  the body that the legacy service answers with
//	-- GET PATH --                     headers ("-" is none), an empty line, and the body that the client gets
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
	mongod, err := stack.StartMongod(t.Context(), stack.MongodOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mongod.Kill() })
	legacy := &legacyService{bodies: map[string]string{}}
	server := httptest.NewServer(legacy)
	t.Cleanup(server.Close)
	url := startEnvoy(t, weft, rules, server.Listener.Addr().String(), mongod.URI())

	for _, section := range archive.Files {
		kind, what, _ := strings.Cut(section.Name, " ")
		body := strings.TrimSuffix(string(section.Data), "\n")
		switch kind {
		case "mongodb":
			insert(t, mongod.URI(), what, body)
		case "legacy":
			legacy.bodies[what] = body
		case "GET":
			t.Run(what, func(t *testing.T) { get(t, url+what, body) })
		default:
			t.Fatalf("no such section: %s", section.Name)
		}
	}
}

// legacyService answers with JSON, in chunks, as Spring Boot does.
type legacyService struct{ bodies map[string]string }

func (l *legacyService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := l.bodies[r.URL.EscapedPath()]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("content-type", "application/json")
	_ = http.NewResponseController(w).Flush()
	_, _ = io.WriteString(w, body)
}

// startEnvoy starts a weft and an Envoy, and returns the URL of the latter.
func startEnvoy(t *testing.T, weft, rules, legacy, mongodbURI string) string {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "w")
	process, err := stack.Start(stack.Command{
		Name: "weft", Path: weft, Args: []string{"serve", "--rules", rules, "--listen", "unix:" + socket, "--admin", ""},
		Env: []string{"WEFT_MONGODB_URI=" + mongodbURI}, Log: filepath.Join(dir, "weft.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Kill()
		if log, _ := os.ReadFile(process.Log()); t.Failed() {
			t.Logf("weft's log:\n%s", log)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := process.AwaitReady(ctx, func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err != nil {
			return err
		}
		return c.Close()
	}); err != nil {
		t.Fatal(err)
	}
	// Timeouts so long that a busy machine does not matter.
	bootstrap, err := exec.CommandContext(ctx, weft, "envoy", "--rules", rules, "--legacy", legacy, "--weft", "unix:"+socket,
		"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--message-timeout", "10s", "--route-timeout", "20s").Output()
	if err != nil {
		t.Fatalf("weft envoy: %v", err)
	}
	envoy, err := stack.StartEnvoy(ctx, stack.EnvoyOptions{Dir: dir, Bootstrap: bootstrap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = envoy.Kill() })
	address, err := envoy.ListenerAddr(ctx, "main")
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + address
}

func insert(t *testing.T, uri, where, documents string) {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(t.Context())) }()
	database, collection, _ := strings.Cut(where, ".")
	for line := range strings.Lines(documents) {
		var doc bson.D
		if err := bson.UnmarshalExtJSON([]byte(line), false, &doc); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if _, err := client.Database(database).Collection(collection).InsertOne(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
	}
}

func get(t *testing.T, url, want string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	headers, wantBody, _ := strings.Cut(want, "\n\n")
	for line := range strings.Lines(headers) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		got := response.Header.Get(name)
		if got == "" {
			got = "-"
		}
		if got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if got := strings.TrimSuffix(string(body), "\n"); got != wantBody {
		t.Errorf("body\n got %s\nwant %s", got, wantBody)
	}
}
