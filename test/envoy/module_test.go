//go:build cgo

package envoy_test

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
	"weft/envoy"
	userprofile "weft/examples/user-profile"
	"weft/test/harness"
)

// library builds libweft.so, once for all tests.
var library = sync.OnceValues(func() (string, error) {
	name := filepath.Join(scratch, "libweft.so")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-buildvcs=false", "-o", name, "weft/envoy/module/libweft")
	build.Stderr = os.Stderr
	return name, build.Run()
})

// startModule starts an Envoy with weft in its process. The database of the rules must be user_profiles, as in the
// built-in rules.
func startModule(t testing.TB, rules []byte, o systemOptions) (s *system, file string) {
	t.Helper()
	lib, err := library()
	if err != nil {
		t.Fatal(err)
	}
	rules = bytes.ReplaceAll(rules, []byte("database: user_profiles"), []byte("database: "+newDatabase()))
	file = filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, rules, 0o600); err != nil {
		t.Fatal(err)
	}
	admin, err := harness.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	o.rules = parseRules(t, string(rules))
	o.module = &envoy.Module{Library: lib, Flags: map[string]any{
		"rules": file, "mongodb-uri": cmp.Or(o.mongodbURI, mongod.URI()), "admin": admin,
	}}
	s = startSystem(t, o)
	s.weftAdmin = admin
	return s, file
}

// TestCasesInModule replays testdata/cases with weft in Envoy's process.
func TestCasesInModule(t *testing.T) {
	s, _ := startModule(t, userprofile.Rules, systemOptions{timeout: caseTimeout})
	replayCases(t, s, "testdata/cases/*/*.txtar")
}

// TestCoresInModule replays testdata/cores with weft in Envoy's process.
func TestCoresInModule(t *testing.T) {
	key := newKey(t)
	s, _ := startModule(t, []byte(coresRules), systemOptions{filters: []*hcmv3.HttpFilter{jwtFilter(t, key)}})
	replayCores(t, s, key)
	checkCoalesce(t, s)
	s.checkModuleIdle(t)
}

// streamingRules are the built-in rules with "large: stream".
func streamingRules() []byte {
	return bytes.ReplaceAll(userprofile.Rules, []byte("core: &core\n"), []byte("core: &core\n      large: stream\n"))
}

// TestStreamedCoresInModule: a module streams cores like an external processor.
func TestStreamedCoresInModule(t *testing.T) {
	s, _ := startModule(t, streamingRules(), systemOptions{})
	checkStreamedCores(t, s)
}

// TestDegradePolicyInModule: a module gets the claims that Envoy's jwt_authn filter has verified.
func TestDegradePolicyInModule(t *testing.T) {
	checkDegradePolicy(t, func(policy enrich.DegradePolicy, filters []*hcmv3.HttpFilter) *system {
		degrade := map[enrich.DegradePolicy]string{
			enrich.DegradeAlways:        "always",
			enrich.DegradeAuthenticated: "authenticated\n    identity: {payload: token, claim: user}",
			enrich.DegradeNever:         "never",
		}[policy]
		rules := bytes.ReplaceAll(userprofile.Rules, []byte("degrade: always\n"), []byte("degrade: "+degrade+"\n"))
		s, _ := startModule(t, rules, systemOptions{filters: filters})
		return s
	})
}

// TestStreamedMemoryInModule streams ten cores of 60 MB at once. The resident memory of Envoy, which includes weft,
// grows by less than a quarter of the bytes that pass: for each stream, Envoy and weft buffer some megabytes.
func TestStreamedMemoryInModule(t *testing.T) {
	s, _ := startModule(t, streamingRules(), systemOptions{timeout: 5 * time.Minute})
	before := resident(t, s.Envoy.Pid())
	_, passed := streamCores(t, s, 10, 60)
	after := resident(t, s.Envoy.Pid())
	t.Logf("%d MB passed; Envoy with weft: resident up to %d MB, before up to %d MB",
		passed>>20, after>>20, before>>20)
	if after-before > passed/4 {
		t.Errorf("the resident memory grew by %d bytes", after-before)
	}
}

// TestLargeAnswersInModule: a composite may have the largest document that MongoDB stores, 16 MB. Unlike with ext_proc,
// it may also exceed Envoy's buffer if the length of the legacy response is known.
func TestLargeAnswersInModule(t *testing.T) {
	s, _ := startModule(t, userprofile.Rules, systemOptions{})
	for _, legacy := range []string{legacyUser7, withLength(coreUser7, "")} {
		s.legacy.answer("/api/v1/users/7", raw(legacy))
		checkLargestDocument(t, s)
	}
	for _, kib := range largeAnswers { // in KiB
		checkLargeAnswers(t, s, kib, true)
	}
}

// answerEarly starts a legacy service that responds before it reads the body of a request.
func answerEarly(t *testing.T, addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer func() { _ = c.Close() }()
				for r := bufio.NewReader(c); ; {
					request, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					if _, err := io.WriteString(c, legacyUser7); err != nil {
						return
					}
					if _, err := io.Copy(io.Discard, request.Body); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { // after Envoy
		_ = listener.Close()
		open.Wait()
	})
}

// TestModuleStreams: while a response waits for MongoDB, its request continues, its client disconnects, or Envoy ends.
func TestModuleStreams(t *testing.T) {
	release, asked := make(chan struct{}, 2), make(chan struct{}, 100)
	proxy := startMongoProxy(t, func() { asked <- struct{}{}; <-release })
	rules := bytes.ReplaceAll(userprofile.Rules, []byte("path: /api/v1/users/{userId:int64}"),
		[]byte("{path: \"/api/v1/users/{userId:int64}\", methods: [GET, POST]}"))
	s, _ := startModule(t, rules, systemOptions{mongodbURI: proxy, timeout: time.Minute})
	t.Cleanup(sync.OnceFunc(func() { close(release) }))
	s.legacy.stop()
	answerEarly(t, s.legacy.addr)

	dial := func(request string) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	stopped := dial("GET /api/v1/users/7 HTTP/1.1\r\nhost: localhost\r\n\r\n")
	<-asked
	// The legacy service has responded; the rest of the request continues while the response waits for MongoDB.
	uploading := dial("POST /api/v1/users/7 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 6\r\n\r\none")
	harness.Eventually(t, "the response of the legacy service has arrived", func() bool {
		return s.stat(t, "cluster.legacy.upstream_cx_rx_bytes_total") == 2*len(legacyUser7)
	})
	if _, err := io.WriteString(uploading, "two"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the request is complete", func() bool {
		return s.stat(t, "cluster.legacy.upstream_rq_active") == 0
	})
	_ = stopped.Close()
	harness.Eventually(t, "the other stream is destroyed", func() bool {
		return s.stat(t, "http.main.downstream_rq_active") == 1
	})
	release <- struct{}{} // the read of the destroyed stream, which keeps its connection
	release <- struct{}{}
	response, err := http.ReadResponse(bufio.NewReader(uploading), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != compositeUser7 {
		t.Errorf("%s, %v, want %s", body, err, compositeUser7)
	}

	// SIGTERM while a stream waits for MongoDB.
	<-asked // of the POST
	dial("GET /api/v1/users/7 HTTP/1.1\r\nhost: localhost\r\n\r\n")
	<-asked
	if err := s.Envoy.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	harness.ExpectLog(t, s.Envoy.Process, "msg=stopped")
	<-s.Envoy.Done()
	if err := s.Envoy.Err(); err != nil {
		t.Errorf("Envoy ended with %v, want exit status 0", err)
	}
}

// TestModuleDrain: Envoy drains its listeners while a response waits for MongoDB, which then is composed.
func TestModuleDrain(t *testing.T) {
	release, asked := make(chan struct{}), make(chan struct{}, 100)
	proxy := startMongoProxy(t, func() { asked <- struct{}{}; <-release })
	s, _ := startModule(t, userprofile.Rules, systemOptions{mongodbURI: proxy, timeout: time.Minute})
	t.Cleanup(sync.OnceFunc(func() { close(release) }))
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	answer := make(chan harness.Answer, 1)
	go func() { answer <- s.get(t, "/api/v1/users/7") }()
	<-asked
	drain, err := http.Post(s.Envoy.Admin()+"/drain_listeners", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = drain.Body.Close()
	harness.Eventually(t, "no connection is accepted", func() bool {
		_, err := try(http1, s.newRequest(t, http.MethodGet, "/other"))
		return err != nil
	})
	release <- struct{}{}
	checkAnswer(t, "200\nx-weft: composed\n\n"+compositeUser7, "", <-answer)
	s.checkModuleIdle(t)
}

// TestModuleHotRestart restarts Envoy under load, with more workers. All responses are composed, and the new process
// has the admin address of the old one when that has ended.
func TestModuleHotRestart(t *testing.T) {
	listen, err := harness.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--base-id", strconv.Itoa(os.Getpid()), "--drain-time-s", "1", "--parent-shutdown-time-s", "2"}
	s, _ := startModule(t, userprofile.Rules, systemOptions{
		config: func(c *envoy.Config) { c.Listen = listen },
		args:   append(slices.Clip(args), "--restart-epoch", "0", "--concurrency", "1"),
	})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	stop, req := make(chan struct{}), s.newRequest(t, http.MethodGet, "/api/v1/users/7")
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := try(http1, req.Clone(t.Context()))
				if err != nil {
					t.Error(err)
					return
				}
				checkAnswer(t, "200\nx-weft: composed\n\n"+compositeUser7, "", got)
			}
		})
	}
	old := s.Envoy
	args = append(args, "--restart-epoch", "1", "--concurrency", "4")
	if err := s.StartEnvoyWith(t.Context(), s.bootstrap, args...); err != nil {
		t.Fatal(err)
	}
	<-old.Done()
	if err := old.Err(); err != nil {
		t.Errorf("the old Envoy ended with %v", err)
	}
	harness.Eventually(t, "the new Envoy composes and has metrics", func() bool {
		answer, err := harness.Get(t.Context(), "http://"+s.weftAdmin+"/metrics")
		return err == nil && strings.Contains(answer.Body, `disposition="composed"`)
	})
	close(stop)
	clients.Wait()
	s.checkModuleIdle(t)
}

// TestModuleHangUps: clients disconnect at any time, also while a goroutine parses a large body. No stream remains.
func TestModuleHangUps(t *testing.T) {
	s, _ := startModule(t, userprofile.Rules, systemOptions{args: []string{"--concurrency", "4"}})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	large := strings.Replace(coreUser7, `"u"`, `"`+strings.Repeat("u", 200<<10)+`"`, 1)
	s.legacy.answer("/api/v1/users/8", raw(withLength(large, "")))
	var clients sync.WaitGroup
	for client := range 8 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(client)))
			for range 50 {
				conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = fmt.Fprintf(conn, "GET /api/v1/users/%d HTTP/1.1\r\nhost: localhost\r\n\r\n", 7+random.IntN(2))
				_ = conn.SetReadDeadline(time.Now().Add(time.Duration(random.IntN(4000)) * time.Microsecond))
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}
		})
	}
	clients.Wait()
	checkAnswer(t, "200\nx-weft: composed\n\n"+compositeUser7, "", s.get(t, "/api/v1/users/7"))
	s.checkModuleIdle(t)
}

// TestModuleLocalReply: Envoy sends a local reply to an idle stream while the legacy response waits for MongoDB.
func TestModuleLocalReply(t *testing.T) {
	release, asked := make(chan struct{}), make(chan struct{}, 100)
	proxy := startMongoProxy(t, func() { asked <- struct{}{}; <-release })
	s, _ := startModule(t, userprofile.Rules, systemOptions{
		mongodbURI: proxy, timeout: time.Minute,
		change: changeManager(t, func(m *hcmv3.HttpConnectionManager) {
			for _, r := range m.GetRouteConfig().GetVirtualHosts()[0].GetRoutes() {
				r.GetRoute().IdleTimeout = durationpb.New(200 * time.Millisecond)
			}
		}),
	})
	free := sync.OnceFunc(func() { close(release) })
	t.Cleanup(free)
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	if got := s.get(t, "/api/v1/users/7"); got.Status != http.StatusGatewayTimeout || got.Header.Get("x-weft") != "" {
		t.Errorf("%d %s %v", got.Status, got.Body, got.Header)
	}
	<-asked
	free()
	checkAnswer(t, "200\nx-weft: composed\n\n"+compositeUser7, "", s.get(t, "/api/v1/users/7"))
}

// TestModuleSmallBuffer: in a mesh, Envoy's buffer may be smaller than a core.
func TestModuleSmallBuffer(t *testing.T) {
	s, _ := startModule(t, userprofile.Rules, systemOptions{change: func(b *bootstrapv3.Bootstrap) {
		b.GetStaticResources().GetListeners()[0].PerConnectionBufferLimitBytes = wrapperspb.UInt32(32 << 10)
	}})
	large := strings.Replace(coreUser7, `"u"`, `"`+strings.Repeat("u", 500<<10)+`"`, 1)
	want := "200\nx-weft: composed\n\n" + strings.Replace(compositeUser7, coreUser7, large, 1)
	for length, response := range map[string]string{"known": withLength(large, ""), "unknown": chunked(large)} {
		s.legacy.answer("/api/v1/users/7", raw(response))
		if got := s.get(t, "/api/v1/users/7"); got.Status != http.StatusOK {
			t.Errorf("length %s: %d %.100s", length, got.Status, got.Body)
		} else {
			checkAnswer(t, want, "", got)
		}
	}
}

// TestModuleFilterThatBuffers: a filter next to the router has buffered the response before weft gets its body.
func TestModuleFilterThatBuffers(t *testing.T) {
	buffers := luaFilter(t, `function envoy_on_response(r) r:body() end`)
	s, _ := startModule(t, userprofile.Rules, systemOptions{
		change: changeManager(t, func(m *hcmv3.HttpConnectionManager) {
			m.HttpFilters = slices.Insert(m.GetHttpFilters(), len(m.GetHttpFilters())-1, buffers)
		}),
	})
	large := strings.Replace(coreUser7, `"u"`, `"`+strings.Repeat("u", 900<<10)+`"`, 1)
	for _, core := range []string{coreUser7, large} {
		want := "200\nx-weft: composed\n\n" + strings.Replace(compositeUser7, coreUser7, core, 1)
		for _, response := range []string{withLength(core, ""), chunked(core), chunked(core[:20], core[20:])} {
			s.legacy.answer("/api/v1/users/7", raw(response))
			checkAnswer(t, want, "", s.get(t, "/api/v1/users/7"))
		}
	}
}

// TestModuleClosedStderr: Envoy continues if nobody reads its stderr any more, to which weft logs.
func TestModuleClosedStderr(t *testing.T) {
	s, _ := startModule(t, userprofile.Rules, systemOptions{})
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = reader.Close()
	if err := s.Envoy.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	closed, err := harness.StartEnvoy(t.Context(), harness.EnvoyOptions{
		Dir: t.TempDir(), Bootstrap: s.bootstrap, Prepare: func(c *exec.Cmd) { c.Stderr = writer },
	})
	_ = writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	_, err = harness.Get(t.Context(), "http://"+s.weftAdmin+"/metrics")
	if err := errors.Join(err, closed.Stop(10*time.Second), closed.Err()); err != nil { // weft flushes its log
		t.Error(err)
	}
}

// TestModuleReload: a module rejects a rules file with an error, and loads the next one.
func TestModuleReload(t *testing.T) {
	s, file := startModule(t, userprofile.Rules, systemOptions{})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	rules, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("version: 1\nrules: no\n")
	harness.ExpectLog(t, s.Envoy.Process, "rules file rejected")
	checkAnswer(t, "200\nx-weft: composed\n\n"+compositeUser7, "", s.get(t, "/api/v1/users/7"))
	write(strings.Replace(string(rules), "default: 0.0", "default: 1.5", 1))
	harness.ExpectLog(t, s.Envoy.Process, "rules reloaded")
	want := strings.Replace(compositeUser7, "0.0", "1.5", 1)
	checkAnswer(t, "200\nx-weft: composed\n\n"+want, "", s.get(t, "/api/v1/users/7"))
}

// TestModuleCache: a module keeps documents, too. Without change streams, they are used until they are too old.
func TestModuleCache(t *testing.T) {
	database, withCache := []byte("        database:"), []byte("        cache: {}\n        database:")
	rules := bytes.Replace(userprofile.Rules, database, withCache, 1)
	s, file := startModule(t, rules, systemOptions{})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	harness.ExpectLog(t, s.Envoy.Process, "no change stream; cached documents are up to max_age old")
	expect := func(cache string) {
		t.Helper()
		answer := s.get(t, "/api/v1/users/7")
		checkAnswer(t, "200\nx-weft: composed\n\n"+compositeUser7, "", answer)
		if timing := answer.Header.Get("Server-Timing"); !strings.Contains(timing, cache) ||
			strings.Contains(timing, "cache") != strings.Contains(cache, "cache") {
			t.Errorf("server-timing: %s, want %s", timing, cache)
		}
	}
	expect(", cache;desc=miss, ")
	expect(", cache;desc=hit, ")
	if text, line := s.metrics(t), `collection="profiles",database=`; !strings.Contains(text, "weft_cache_entries{"+line) {
		t.Errorf("%s", text)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("cache: {}"), []byte("description: none"), 1)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	harness.ExpectLog(t, s.Envoy.Process, "rules reloaded")
	expect("mongodb;dur=")
}

// TestModuleRejects: Envoy does not start with a configuration that has an error, and logs the error.
func TestModuleRejects(t *testing.T) {
	lib, err := library()
	if err != nil {
		t.Fatal(err)
	}
	s := harness.NewTestSystem(t, "")
	bootstrap, err := envoy.Bootstrap(envoy.Config{
		Rules: parseRules(t, string(userprofile.Rules)), Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Legacy: "127.0.0.1:1",
		Module: &envoy.Module{Library: lib, Flags: map[string]any{"rules": "/no/such/file", "admin": ""}},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := envoy.YAML(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	err = s.StartEnvoyWith(t.Context(), text)
	const want = "weft: filter_config: rules file: open /no/such/file: no such file or directory"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
}

// TestSelectionInModule replays testdata/selection with weft in Envoy's process.
func TestSelectionInModule(t *testing.T) {
	s, _ := startModule(t, []byte(selectingRules()), systemOptions{})
	replayCases(t, s, "testdata/selection/*.txtar")
}
