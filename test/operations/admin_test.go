package operations_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"weft/test/harness"
)

// TestReadyWithoutMongoDB: weft is ready without MongoDB, and says what is missing, from its start on, before anybody has asked for anything; and again when
// MongoDB goes away under exchanges. Envoy goes on sending it exchanges.
func TestReadyWithoutMongoDB(t *testing.T) {
	const degraded = "200 degraded: MongoDB does not answer, extensions are null\n"
	w := startWorld(t)
	again := w.mongod.Options()
	if err := w.mongod.Kill(); err != nil {
		t.Fatal(err)
	}
	at, admin := socket(t), freePort(t)
	s := startServer(t, "--listen", at, "--admin", admin, "--mongodb-uri", w.mongod.URI()+"/?serverSelectionTimeoutMS=100")
	conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	serving := func() {
		t.Helper()
		status, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "envoy.service.ext_proc.v3.ExternalProcessor"})
		if err != nil || status.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("gRPC health: %v, %v", status, err)
		}
	}
	servers := func(n string) {
		t.Helper()
		eventually(t, "the metrics count "+n+" servers", func() bool { return strings.Contains(page(t, admin+"/metrics"), "\nweft_mongodb_servers "+n+"\n") })
	}
	eventually(t, "it says so at the start", func() bool { return page(t, admin+"/readyz") == degraded })
	servers("0")
	serving()
	start := func() {
		t.Helper()
		if w.mongod, err = harness.StartMongod(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		mongod := w.mongod
		t.Cleanup(func() { _ = mongod.Kill() })
	}
	start()
	eventually(t, "MongoDB is there", func() bool { return page(t, admin+"/readyz") == "200 ok\n" })

	w.startEnvoy(t, "--weft", at)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ask := func(want string) {
		t.Helper()
		if _, _, outcome, err := w.ask(client, 7); err != nil || !strings.HasPrefix(outcome, want) {
			t.Errorf("%v, x-weft %q, want %q", err, outcome, want)
		}
	}
	ask("composed")
	servers("1")
	if err := w.mongod.Kill(); err != nil {
		t.Fatal(err)
	}
	ask("degraded; reason=extension-")
	if got := page(t, admin+"/readyz"); got != degraded {
		t.Errorf("/readyz: %q", got)
	}
	serving()
	servers("0")
	s.expect(t, "MongoDB does not answer in time, or not at all")
	start()
	eventually(t, "MongoDB is there again", func() bool {
		_, _, outcome, err := w.ask(client, 7)
		return err == nil && outcome == "composed"
	})
	if got := page(t, admin+"/readyz"); got != "200 ok\n" {
		t.Errorf("/readyz: %q", got)
	}
	s.expect(t, "MongoDB answers again")
}

// TestAdminPages: profiles are behind a flag, nothing is changed by asking, and what is not there is a 404.
func TestAdminPages(t *testing.T) {
	for _, test := range []struct {
		args    []string
		profile string
	}{{nil, "404"}, {[]string{"--pprof"}, "200"}} {
		admin := freePort(t)
		startServer(t, append(test.args, "--listen", socket(t), "--admin", admin)...)
		for path, want := range map[string]string{"/debug/pprof/": test.profile, "/debug/pprof/heap": test.profile, "/livez": "200", "/metrics": "200", "/": "404", "/../etc/passwd": "404"} {
			if got := page(t, admin+path); !strings.HasPrefix(got, want) {
				t.Errorf("%v %s: %.100s, want %s", test.args, path, got, want)
			}
		}
		resp, err := http.Post("http://"+admin+"/metrics", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST: %s", resp.Status)
		}
	}
}

// TestLogJSON: each line is one JSON object, with the ids that lead to the request, and nothing of the user's.
func TestLogJSON(t *testing.T) {
	at := socket(t)
	serve := weft(context.Background(), "serve", "--listen", at, "--admin", "", "--drain-window", "0", "--log-format", "json", "--log-level", "debug",
		"--mongodb-uri", "mongodb://127.0.0.1:1", "--budget", "1ms")
	s := startCommandThatLogs(t, serve, `"msg":"serving"`)
	conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const id = "8675309"
	exchangeWith(t, conn, "request-1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "/api/v1/users/"+id, "200", "via_upstream",
		`{"userId":`+id+`,"username":7,"secret":"`+id+`"}`)
	s.expect(t, `"msg":"exchange"`)
	var line map[string]any
	for text := range strings.Lines(s.seen.String()) {
		line = nil // the last one is the exchange's
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Errorf("%v: %s", err, text)
		}
		if strings.Contains(text, id) {
			t.Errorf("the log has the user's id: %s", text)
		}
	}
	if line["request_id"] != "request-1" || line["trace_id"] != "0af7651916cd43dd8448eb211c80319c" || line["rule"] != "user" || line["reason"] != "core-invalid" {
		t.Errorf("%v", line)
	}
}
