package k8s

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	corev1 "k8s.io/api/core/v1"

	"weft/test/harness"
)

// What the legacy service and MongoDB say of user 7, and the composite of both.
const (
	Core      = `{"userId": 7, "username": "user7", "email": "user7@example.com", "createdAt": "2020-02-29T12:34:56.789+00:00"}`
	Extension = `{"userId":7,"tags":["vip"],"lastActivityScore":25.9,"customSettings":{"theme":"dark"}}`
	Composite = `{"core":` + Core + `,"extension":` + Extension + `,"errors":[]}`
	// WithoutWeft is what Envoy makes of the core while weft is down, where a rule asks for it.
	WithoutWeft = `{"core":` + Core + `,"extension":null,"errors":["Failed to fetch extended user profile."]}`
)

// LargeCore is what the legacy service says of user 8: the largest core that the rules take.
func LargeCore() string {
	const head, tail = `{"userId":8,"username":"`, `","email":"","createdAt":""}`
	return head + strings.Repeat("x", 1<<20-len(head)-len(tail)) + tail
}

// Legacy is the legacy service.
type Legacy struct {
	mu   sync.Mutex
	last *http.Request
}

// StartLegacy starts one on an address, host:port.
func StartLegacy(t testing.TB, address string) *Legacy {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	l := &Legacy{}
	server := &http.Server{Handler: l, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return l
}

// ServeHTTP answers as Spring does: user 7, chunked; for no other id is there anybody.
func (l *Legacy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.last = r
	l.mu.Unlock()
	switch {
	case r.URL.Path == "/api/v1/users/7" && r.Method == http.MethodGet:
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = http.NewResponseController(w).Flush()
		fmt.Fprint(w, Core)
	case r.URL.Path == "/api/v1/users/8" && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "application/json")
		_ = http.NewResponseController(w).Flush()
		fmt.Fprint(w, LargeCore())
	case strings.HasPrefix(r.URL.Path, "/api/v1/users/") && r.Method == http.MethodGet:
		w.WriteHeader(http.StatusNotFound)
	default:
		fmt.Fprintf(w, "legacy: %s %s", r.Method, r.URL.Path)
	}
}

// Last returns the request that came last.
func (l *Legacy) Last() *http.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// StartMongod starts a mongod that holds user 7, and returns its connection string.
func StartMongod(t testing.TB) string {
	t.Helper()
	mongod, err := harness.StartMongod(t.Context(), harness.MongodOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mongod.Kill() })
	client, err := mongo.Connect(options.Client().ApplyURI(mongod.URI()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	var document bson.D
	if err := bson.UnmarshalExtJSON([]byte(Extension), false, &document); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Database("user_profiles").Collection("profiles").InsertOne(t.Context(), document); err != nil {
		t.Fatal(err)
	}
	return mongod.URI()
}

// StartWeft starts weft with the arguments and the environment of its container, and some more, and returns when it is ready.
func StartWeft(t testing.TB, c corev1.Container, mongodbURI string, more ...string) *harness.Process {
	t.Helper()
	const admin = "127.0.0.1:9902"
	environment := []string{"WEFT_MONGODB_URI=" + mongodbURI, "WEFT_RULES=" + Path(t, "k8s", "base", "rules.yaml")}
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			environment = append(environment, e.Name+"="+e.Value)
		}
	}
	weft, err := harness.Start(harness.Command{
		Name: "weft", Path: BuildWeft(t), Args: c.Args[:1], Env: append(environment, more...), Log: filepath.Join(t.TempDir(), "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = weft.Kill()
		LogOnFailure(t, weft.Log())
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := weft.AwaitReady(ctx, func(context.Context) error { _, err := TryGet(t, "http://"+admin+"/readyz", nil); return err }); err != nil {
		t.Fatal(err)
	}
	return weft
}

// LogOnFailure shows the end of a log when the test has failed.
func LogOnFailure(t testing.TB, file string) {
	if t.Failed() {
		text, _ := os.ReadFile(file)
		t.Logf("%s:\n%s", file, text[max(0, len(text)-8000):])
	}
}

// ExpectComposites makes the requests that are the same wherever Envoy is: url is its base.
func ExpectComposites(t testing.TB, url string, legacy *Legacy) {
	t.Helper()
	for _, path := range []string{"/api/v1/users/", "/api/v3/composite-profile/"} {
		Expect(t, url+path+"7", nil, 200, "composed", Composite)
		if last := legacy.Last(); last.URL.Path != "/api/v1/users/7" || last.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s7: the legacy service got %s %v", path, last.URL, last.Header)
		}
		large := Get(t, url+path+"8", nil)
		if want := `{"core":` + LargeCore() + `,"extension":{"userId":8,"tags":[],"lastActivityScore":0.0,"customSettings":{}},"errors":[]}`; large.Body != want {
			t.Errorf("%s8: %d %v, %d bytes, want %d", path, large.Status, large.Header, len(large.Body), len(want))
		}
		etag := Get(t, url+path+"7", nil).Header.Get("Etag")
		Expect(t, url+path+"7", http.Header{"If-None-Match": {etag}}, 304, "composed", "")
		Expect(t, url+path+"007", nil, 404, "", "")
		if last := legacy.Last(); last.URL.Path != "/api/v1/users/007" {
			t.Errorf("%s007: the legacy service got %s", path, last.URL)
		}
	}
	Expect(t, url+"/other", http.Header{"X-Weft": {"mine"}}, 200, "", "legacy: GET /other")
}

// ExpectWithoutWeft makes the same requests while weft is down.
func ExpectWithoutWeft(t testing.TB, url string) {
	t.Helper()
	const v1, v3 = "/api/v1/users/7", "/api/v3/composite-profile/7"
	Expect(t, url+v1, nil, 200, "", Core)
	Expect(t, url+v3, nil, 200, "degraded; reason=weft-unavailable", WithoutWeft)
	// Half an answer that did not change would be none at all.
	Expect(t, url+v3, http.Header{"If-None-Match": {"x"}}, 200, "degraded; reason=weft-unavailable", WithoutWeft)
	Expect(t, url+"/other", nil, 200, "", "legacy: GET /other")
}

// AwaitLegacyAlone waits until Envoy has taken the way back: it calls weft no longer, though weft is up, and no rule has a route.
func AwaitLegacyAlone(t testing.TB, server *harness.Process, url string) {
	t.Helper()
	const v1, v3 = "/api/v1/users/7", "/api/v3/composite-profile/7"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for path, body := range map[string]string{v1: Core, v3: "legacy: GET " + v3} {
		err := server.AwaitReady(ctx, func(context.Context) error {
			answer, err := TryGet(t, url+path, nil)
			if err == nil && (answer.Status != 200 || answer.Header.Get("X-Weft") != "" || answer.Body != body) {
				err = fmt.Errorf("%s: %d, x-weft %q, %s", path, answer.Status, answer.Header.Get("X-Weft"), answer.Body)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Answer is what a client got.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Get makes a request over a connection of its own.
func Get(t testing.TB, url string, header http.Header) Answer {
	t.Helper()
	answer, err := TryGet(t, url, header)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// TryGet is Get where an error is no failure.
func TryGet(t testing.TB, url string, header http.Header) (Answer, error) {
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, url, nil)
	if err != nil {
		return Answer{}, err
	}
	request.Header = header.Clone()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}, Timeout: 20 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return Answer{Status: response.StatusCode, Header: response.Header, Body: string(body)}, err
}

// Expect makes a request and looks at the answer.
func Expect(t testing.TB, url string, header http.Header, status int, weft, body string) {
	t.Helper()
	got := Get(t, url, header)
	if got.Status != status || got.Header.Get("X-Weft") != weft || got.Body != body {
		t.Errorf("GET %s %v: %d, x-weft %q\n%s\nwant %d, %q\n%s", url, header, got.Status, got.Header.Get("X-Weft"), got.Body, status, weft, body)
	}
}
