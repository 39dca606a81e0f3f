package operations_test

import (
	"net/http"
	"strings"
	"testing"

	"weft/test/harness"
)

// TestReadyWithoutMongoDB: weft is ready without MongoDB and /readyz reports that it is degraded: after start, before
// the first request, and when MongoDB stops during requests.
func TestReadyWithoutMongoDB(t *testing.T) {
	const degraded = "200 degraded: MongoDB is unavailable, extensions are null\n"
	s, admin := startSystem(t), freeAddr(t)
	if err := s.Mongod.Kill(); err != nil {
		t.Fatal(err)
	}
	weft := startWeft(t, s, "--admin", admin, "--mongodb-uri", s.Mongod.URI()+"/?serverSelectionTimeoutMS=100")
	conn := dial(t, s.Socket)
	expectServers := func(n string) {
		t.Helper()
		harness.Eventually(t, "the metrics count "+n+" servers", func() bool {
			return strings.Contains(page(t, admin+"/metrics"), "\nweft_mongodb_servers "+n+"\n")
		})
	}
	harness.Eventually(t, "weft is degraded after start", func() bool { return page(t, admin+"/readyz") == degraded })
	expectServers("0")
	checkHealth(t, conn)
	restart := func() {
		t.Helper()
		if err := s.RestartMongod(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	harness.Eventually(t, "MongoDB is available", func() bool { return page(t, admin+"/readyz") == "200 ok\n" })

	startEnvoy(t, s)
	if got := get(t, s); got.Header.Get("X-Weft") != "composed" {
		t.Error(got)
	}
	expectServers("1")
	if err := s.Mongod.Kill(); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s); !strings.HasPrefix(got.Header.Get("X-Weft"), "degraded; reason=extension-") {
		t.Error(got)
	}
	if got := page(t, admin+"/readyz"); got != degraded {
		t.Errorf("/readyz: %q", got)
	}
	checkHealth(t, conn)
	expectServers("0")
	harness.ExpectLog(t, weft, "mongodb unavailable")
	restart()
	harness.Eventually(t, "MongoDB is available again", func() bool {
		return get(t, s).Header.Get("X-Weft") == "composed"
	})
	if got := page(t, admin+"/readyz"); got != "200 ok\n" {
		t.Errorf("/readyz: %q", got)
	}
	harness.ExpectLog(t, weft, "mongodb available again")
}

// TestAdminPages: profiles need --pprof, only GET is allowed, and unknown paths are a 404.
func TestAdminPages(t *testing.T) {
	for _, test := range []struct {
		args    []string
		profile string
	}{{nil, "404"}, {[]string{"--pprof"}, "200"}} {
		admin := freeAddr(t)
		startWeft(t, newSystem(t), append(test.args, "--admin", admin)...)
		for path, want := range map[string]string{
			"/debug/pprof/": test.profile, "/debug/pprof/heap": test.profile,
			"/livez": "200", "/metrics": "200", "/": "404",
			"/etc/passwd": "404", "/../etc/passwd": `307 <a href="/etc/passwd">`,
		} {
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
