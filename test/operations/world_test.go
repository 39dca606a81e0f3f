package operations_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"weft/test/harness"
)

// users are how many there are in a world.
const users = 100

// world is what stands around weft: a real Envoy, a real mongod, and a legacy service. The test starts weft, as processes.
type world struct {
	mongod *harness.Mongod
	legacy *httptest.Server
	envoy  *harness.Envoy
	url    string // of Envoy's listener
}

// startWorld starts all but weft and Envoy.
func startWorld(t *testing.T) *world {
	t.Helper()
	mongod, err := harness.StartMongod(t.Context(), harness.MongodOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mongod.Kill() })
	w := &world{mongod: mongod}
	w.legacy = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, core(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]))
	}))
	t.Cleanup(w.legacy.Close)

	client, err := mongo.Connect(options.Client().ApplyURI(mongod.URI()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	profiles := client.Database("user_profiles").Collection("profiles")
	if _, err := profiles.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "userId", Value: 1}}}); err != nil {
		t.Fatal(err)
	}
	var documents []any
	for id := range users {
		documents = append(documents, bson.D{{Key: "userId", Value: id}, {Key: "tags", Value: bson.A{fmt.Sprint("tag ", id)}}})
	}
	if _, err := profiles.InsertMany(t.Context(), documents); err != nil {
		t.Fatal(err)
	}
	return w
}

func core(id string) string {
	return fmt.Sprintf(`{"userId":%s,"username":"user%[1]s","email":"user%[1]s@example.com","createdAt":"2020-02-29T12:34:56.789+00:00"}`, id)
}

// composite is the whole answer.
func composite(id int) string {
	return fmt.Sprintf(`{"core":%s,"extension":{"userId":%d,"tags":["tag %[2]d"],"lastActivityScore":0.0,"customSettings":{}},"errors":[]}`, core(fmt.Sprint(id)), id)
}

// withoutExtension is the answer when MongoDB's half is missing.
func withoutExtension(id int) string {
	return fmt.Sprintf(`{"core":%s,"extension":null,"errors":["Failed to fetch extended user profile."]}`, core(fmt.Sprint(id)))
}

// startEnvoy starts Envoy with the configuration that "weft envoy" prints. It waits so long for weft that a busy machine does
// not matter, unless the arguments say otherwise.
func (w *world) startEnvoy(t *testing.T, args ...string) {
	t.Helper()
	dir := t.TempDir()
	args = append([]string{
		"envoy", "--legacy", strings.TrimPrefix(w.legacy.URL, "http://"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--message-timeout", "20s", "--route-timeout", "1m",
	}, args...)
	command := weft(t.Context(), args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	bootstrap, err := command.Output()
	if err != nil {
		t.Fatalf("weft envoy: %v: %s", err, stderr.String())
	}
	if w.envoy, err = harness.StartEnvoy(t.Context(), harness.EnvoyOptions{Dir: dir, Bootstrap: bootstrap}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Envoy's connections to weft: %s", page(t, strings.TrimPrefix(w.envoy.Admin(), "http://")+"/stats?usedonly&filter=^cluster.weft.*(ssl|fail|error|reset|destroy|timeout)"))
		}
		_ = w.envoy.Kill()
		if t.Failed() {
			t.Logf("Envoy's log: %s", w.envoy.LastLines(20))
		}
	})
	address, err := w.envoy.ListenerAddr(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + address
}

// ask asks for a user.
func (w *world) ask(client *http.Client, id int) (status int, body, outcome string, err error) {
	resp, err := client.Get(fmt.Sprintf("%s/api/v1/users/%d", w.url, id))
	if err != nil {
		return 0, "", "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), resp.Header.Get("x-weft"), err
}

// load is clients who keep asking, each for a user of its own, and look at every byte of the answers.
type load struct {
	asked  atomic.Int64
	over   atomic.Bool
	asking sync.WaitGroup
}

// startLoad has so many clients, half of them with HTTP/2. Anything but a whole composite fails the test.
func (w *world) startLoad(t *testing.T, clients int) *load {
	l := &load{}
	for i := range clients {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(i%2 == 0)
		protocols.SetUnencryptedHTTP2(i%2 == 1)
		transport := &http.Transport{Protocols: protocols}
		l.asking.Go(func() {
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			for id := i % users; !l.over.Load() && !t.Failed(); id = (id + 7) % users {
				status, body, outcome, err := w.ask(client, id)
				if err != nil || status != http.StatusOK || body != composite(id) {
					t.Errorf("user %d: %v, %d, x-weft %q: %s", id, err, status, outcome, body)
				}
				l.asked.Add(1)
			}
		})
	}
	t.Cleanup(func() { l.end() })
	return l
}

// end returns how many answers there were.
func (l *load) end() int64 {
	l.over.Store(true)
	l.asking.Wait()
	return l.asked.Load()
}

// stat is the value of one of Envoy's statistics.
func (w *world) stat(t *testing.T, name string) int {
	t.Helper()
	text := page(t, strings.TrimPrefix(w.envoy.Admin(), "http://")+"/stats?filter=^"+name+"$")
	var value int
	if _, err := fmt.Sscanf(text, "200 "+name+": %d", &value); err != nil {
		t.Fatalf("Envoy has no statistic %s: %s", name, text)
	}
	return value
}

// eventually waits for what comes true by itself.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second) // far more than it takes, also on a busy machine
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never came true: %s", what)
		}
	}
}

// socket returns the address of a socket for weft.
func socket(t *testing.T) string { return "unix:" + filepath.Join(t.TempDir(), "w") }

// freePort returns an address of 127.0.0.1.
func freePort(t *testing.T) string {
	t.Helper()
	port, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
}
