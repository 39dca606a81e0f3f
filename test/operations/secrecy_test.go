package operations_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// TestPasswordIsNotShown connects with a password, right and wrong, from a file and from the environment, and looks for it
// wherever somebody could read it.
func TestPasswordIsNotShown(t *testing.T) {
	const password = "pa55-w0rd"
	w := startWorld(t)
	client, err := mongo.Connect(options.Client().ApplyURI(w.mongod.URI()))
	if err != nil {
		t.Fatal(err)
	}
	create := bson.D{{Key: "createUser", Value: "weft"}, {Key: "pwd", Value: password}, {Key: "roles", Value: bson.A{"readAnyDatabase"}}}
	if err := client.Database("admin").RunCommand(t.Context(), create).Err(); err != nil {
		t.Fatal(err)
	}
	_ = client.Disconnect(context.Background())

	for name, test := range map[string]struct {
		password string
		fromFile bool
		want     string // x-weft
	}{
		"a file":           {password, true, "composed"},
		"the environment":  {password, false, "composed"},
		"a wrong password": {password + "-wrong", false, "degraded; reason=extension-failed"},
	} {
		t.Run(name, func(t *testing.T) {
			uri := strings.Replace(w.mongod.URI(), "mongodb://", "mongodb://weft:"+test.password+"@", 1)
			at, admin := socket(t), freePort(t)
			args, env := []string{"serve", "--listen", at, "--admin", admin, "--log-level", "debug", "--drain-window", "0"}, []string{"WEFT_MONGODB_URI=" + uri}
			if test.fromFile {
				file := filepath.Join(t.TempDir(), "uri")
				if err := os.WriteFile(file, []byte(uri+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				args, env = append(args, "--mongodb-uri-file", file), nil
			}
			s := startServerWith(t, env, args...)
			w.startEnvoy(t, "--weft", at)
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			status, _, outcome, err := w.ask(client, 7)
			if err != nil || status != http.StatusOK || outcome != test.want {
				t.Errorf("%v, %d, x-weft %q, want %q", err, status, outcome, test.want)
			}
			shown := map[string]string{}
			cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			shown["ps"] = string(cmdline)
			for _, path := range []string{"/metrics", "/readyz", "/livez"} {
				shown[path] = page(t, admin+path)
			}
			s.expect(t, "msg=exchange")
			s.stop(t)
			shown["the log"] = s.seen.String()
			for where, text := range shown {
				if strings.Contains(text, password) {
					t.Errorf("%s shows it: %s", where, text)
				}
			}
			if !strings.Contains(shown["the log"], "msg=exchange") || !strings.Contains(shown["/metrics"], "weft_exchanges_total") || !strings.Contains(shown["ps"], "serve") {
				t.Errorf("looked at nothing: %v", shown)
			}
		})
	}
}

// TestPasswordIsNotInErrors: connection strings with mistakes are quoted by the driver, in part.
func TestPasswordIsNotInErrors(t *testing.T) {
	const no = "--mongodb-uri: this is no connection string; what is wrong is not shown"
	for _, test := range []struct{ uri, want string }{
		{"mongodb://u:pa55/w0rd@db:27017", no},
		{"mongodb://u:pa55@w0rd@db:27017", no},
		{"mongodb://u:pa55:w0rd@db:27017", no},
		{"mongodb://u:pa55w0rd%@db:27017", no},
		{"u:pa55w0rd@db:27017", no},
		{"mongodb://u:pa55w0rd@db:port", no},
		{"mongodb://u:pa55w0rd@db/?authMechanism=pa55w0rd", no},
		{"mongodb://db/?tlsCertificateKeyFile=/none&tlsCertificateKeyFilePassword=pa55w0rd", no},
		{"mongodb+srv://u:pa55w0rd@none.invalid", "--mongodb-uri: "},
	} {
		for _, command := range [][]string{{"serve", "--admin", ""}, {"check", "../../examples/user-profile/rules.yaml"}, {"serve", "--help"}, {"check", "--help"}} {
			cmd := weft(t.Context(), command...)
			cmd.Env = append(cmd.Env, "WEFT_MONGODB_URI="+test.uri)
			out, err := cmd.CombinedOutput()
			for _, part := range []string{"pa55", "w0rd"} {
				if strings.Contains(string(out), part) {
					t.Errorf("%v with %s shows the password: %s", command, test.uri, out)
				}
			}
			if isHelp := command[1] == "--help"; !isHelp && (err == nil || !strings.Contains(string(out), test.want)) {
				t.Errorf("%v with %s: %v\n got %s\nwant %s", command, test.uri, err, out, test.want)
			}
		}
	}
}
