package operations_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/test/harness"
)

// TestStartsWithoutDNS: if DNS does not resolve the connection string, weft serves and extensions are null.
func TestStartsWithoutDNS(t *testing.T) {
	s := startSystem(t)
	weft := startCommand(t, s, harness.Command{
		Args: []string{"serve", "--listen", s.Socket, "--admin", "", "--drain-window", "0", "--log-level", "debug"},
		Env:  []string{"WEFT_MONGODB_URI=mongodb+srv://weft:pa55w0rd@cluster.invalid/"}, // RFC 2606: has no address
	})
	startEnvoy(t, s)
	got := get(t, s)
	isDegraded := got.Status == 200 && got.Header.Get("X-Weft") == "degraded; reason=extension-failed"
	if !isDegraded || !strings.Contains(got.Body, `"extension":null`) {
		t.Errorf("%s", got)
	}
	harness.ExpectLog(t, weft, "msg=exchange")
	log, err := os.ReadFile(weft.Log())
	if err != nil {
		t.Fatal(err)
	}
	const want = `msg="mongodb hosts not resolved; extensions are null"`
	if !strings.Contains(string(log), want) || strings.Contains(string(log), "pa55w0rd") {
		t.Errorf("the log does not contain %s, or contains the password:\n%s", want, log)
	}
}

// TestCredentialsRotate replaces the MongoDB user and the file with the connection string, under load and without a
// restart. All responses are composed.
func TestCredentialsRotate(t *testing.T) {
	s := startSystem(t)
	file := filepath.Join(t.TempDir(), "uri")
	rotate := func(user string) {
		t.Helper()
		_, err := s.Mongod.Run(t.Context(), "admin", bson.D{
			{Key: "createUser", Value: user},
			{Key: "pwd", Value: "of-" + user},
			{Key: "roles", Value: bson.A{"readAnyDatabase"}},
		})
		uri := strings.Replace(s.Mongod.URI(), "mongodb://", "mongodb://"+user+":of-"+user+"@", 1)
		err = errors.Join(err, os.WriteFile(file+".new", []byte(uri), 0o600), os.Rename(file+".new", file))
		if err != nil {
			t.Fatal(err)
		}
	}
	rotate("first")
	weft := startCommand(t, s, harness.Command{Args: []string{
		"serve", "--listen", s.Socket, "--admin", "", "--drain-window", "0", "--mongodb-uri-file", file,
	}})
	startEnvoy(t, s)
	stop := startLoad(t, s, 8)
	for _, user := range []string{"second", "third"} {
		rotate(user)
		harness.ExpectLog(t, weft, `msg="mongodb accepts the new connection string or certificates"`)
	}
	stop()
}
