package k8s

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"weft/test/harness"
)

const (
	user     = "/api/v1/users/"
	profile  = "/api/v3/composite-profile/"
	largeID  = 1000 // user whose core is the largest that the rules allow
	limit    = 2 * time.Minute
	weftMark = "X-Weft"
)

// System runs weft as a container of the manifests, a legacy service on 127.0.0.1:8080 and a mongod. The test starts
// Envoy.
type System struct {
	*harness.System
	t    testing.TB
	last atomic.Pointer[http.Request] // to the legacy service
}

// NewSystem starts the mongod and the legacy service.
func NewSystem(t testing.TB) *System {
	t.Helper()
	s := &System{System: harness.NewTestSystem(t, BuildWeft(t)), t: t}
	var err error
	if s.Legacy, err = harness.StartLegacy("127.0.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	s.Legacy.Handle(http.HandlerFunc(s.serveLegacy))
	if err := s.StartMongod(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Mongod.Seed(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// serveLegacy responds in chunks, as Spring does. It has user 7 and the large user.
func (s *System) serveLegacy(w http.ResponseWriter, r *http.Request) {
	s.last.Store(r)
	switch {
	case !strings.HasPrefix(r.URL.Path, user) || r.Method != http.MethodGet:
		fmt.Fprintf(w, "legacy: %s %s", r.Method, r.URL.Path)
	case r.URL.Path == user+"7" && r.Header.Get("If-None-Match") != "":
		w.WriteHeader(http.StatusNotModified)
	case r.URL.Path == user+"7" || r.URL.Path == fmt.Sprint(user, largeID):
		core := harness.NewUser(7).Core
		if r.URL.Path != user+"7" {
			core = largeCore()
		}
		w.Header().Set("Content-Type", "application/json")
		_ = http.NewResponseController(w).Flush()
		fmt.Fprint(w, core)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func largeCore() string {
	head, tail := fmt.Sprintf(`{"userId":%d,"username":"`, largeID), `","email":"","createdAt":""}`
	return head + strings.Repeat("x", 1<<20-len(head)-len(tail)) + tail
}

// LastRequest returns the last request that the legacy service got.
func (s *System) LastRequest() *http.Request { return s.last.Load() }

// StartWeft starts weft with the arguments and the environment of its container, and additional environment.
func (s *System) StartWeft(c corev1.Container, env ...string) *harness.Process {
	s.t.Helper()
	all := []string{"WEFT_MONGODB_URI=" + s.Mongod.URI(), "WEFT_RULES=" + Path(s.t, "k8s", "base", "rules.yaml")}
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			all = append(all, e.Name+"="+e.Value)
		}
	}
	return s.Run(harness.Command{
		Name: "weft", Path: s.Weft, Args: c.Args[:1], Ready: harness.Serving("http://127.0.0.1:9902/readyz"),
		Env: append(all, env...),
	})
}

// Run starts a process, and waits up to two minutes until it is ready.
func (s *System) Run(command harness.Command) *harness.Process {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	p, err := s.Start(ctx, command)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// LogOnFailure prints the end of a log if the test has failed.
func LogOnFailure(t testing.TB, file string) {
	if t.Failed() {
		text, _ := os.ReadFile(file)
		t.Logf("%s:\n%s", file, text[max(0, len(text)-8000):])
	}
}

// ExpectComposites sends requests whose responses are the same for all overlays; url is Envoy's base URL.
func (s *System) ExpectComposites(url string) {
	t := s.t
	t.Helper()
	for _, path := range []string{user, profile} {
		etag := Expect(t, url+path+"7", 200, "composed", harness.NewUser(7).Composite()).Header.Get("Etag")
		if last := s.LastRequest(); last.URL.Path != user+"7" || last.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s7: the legacy service got %s %v", path, last.URL, last.Header)
		}
		Expect(t, url+path+"7", 304, "composed", "", "If-None-Match", etag)
		const defaults = `{"userId":%d,"tags":[],"lastActivityScore":0.0,"customSettings":{}}`
		large := `{"core":` + largeCore() + `,"extension":` + fmt.Sprintf(defaults, largeID) + `,"errors":[]}`
		Expect(t, fmt.Sprint(url, path, largeID), 200, "composed", large)
		Expect(t, url+path+"007", 404, "", "")
		if last := s.LastRequest(); last.URL.Path != user+"007" {
			t.Errorf("%s007: the legacy service got %s", path, last.URL)
		}
	}
	Expect(t, url+"/other", 200, "", "legacy: GET /other", weftMark, "mine")
}

// ExpectWithoutWeft sends the same requests while weft is down.
func (s *System) ExpectWithoutWeft(url string) {
	s.t.Helper()
	u := harness.NewUser(7)
	Expect(s.t, url+user+"7", 200, "", u.Core)
	Expect(s.t, url+profile+"7", 200, "degraded; reason=weft-unavailable", u.WithoutExtension())
	// The fallback needs the complete response: a 304 would have no core.
	Expect(s.t, url+profile+"7", 200, "degraded; reason=weft-unavailable", u.WithoutExtension(), "If-None-Match", "x")
	Expect(s.t, url+"/other", 200, "", "legacy: GET /other")
}

// AwaitRollback waits until Envoy does not call weft any more, although weft is up, and rules have no routes. The
// process is Envoy or its control plane. The headers (name, value, name, value) are those of the requests.
func (s *System) AwaitRollback(p *harness.Process, url string, headers ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	for path, body := range map[string]string{
		user + "7": harness.NewUser(7).Core, profile + "7": "legacy: GET " + profile + "7",
	} {
		err := p.Await(ctx, func(ctx context.Context) error {
			answer, err := harness.Get(ctx, url+path, headers...)
			if err == nil && (answer.Status != 200 || answer.Header.Get(weftMark) != "" || answer.Body != body) {
				err = errors.New(answer.String())
			}
			return err
		})
		if err != nil {
			s.t.Fatalf("%s: %v", path, err)
		}
	}
}

// Expect sends a GET request and compares the status, x-weft and the body. The headers are name, value, name, value.
func Expect(t testing.TB, url string, status int, weft, body string, headers ...string) harness.Answer {
	t.Helper()
	got, err := harness.Get(t.Context(), url, headers...)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != status || got.Header.Get(weftMark) != weft || got.Body != body {
		t.Errorf("GET %s %v: %.2000s\nwant %d, x-weft %q: %.2000s", url, headers, got, status, weft, body)
	}
	return got
}
