package operations_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/test/harness"
)

// TestPasswordIsNotShown: the password in the connection string, valid or not, from a file or the environment, does not
// appear in the process list, the log or the admin pages.
func TestPasswordIsNotShown(t *testing.T) {
	const password = "pa55-w0rd"
	s := startSystem(t)
	create := bson.D{
		{Key: "createUser", Value: "weft"},
		{Key: "pwd", Value: password},
		{Key: "roles", Value: bson.A{"readAnyDatabase"}},
	}
	if _, err := s.Mongod.Run(t.Context(), "admin", create); err != nil {
		t.Fatal(err)
	}
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
			uri := strings.Replace(s.Mongod.URI(), "mongodb://", "mongodb://weft:"+test.password+"@", 1)
			admin := freeAddr(t)
			args := []string{
				"serve", "--listen", s.Socket, "--admin", admin, "--log-level", "debug", "--drain-window", "0",
			}
			env := []string{"WEFT_MONGODB_URI=" + uri}
			if test.fromFile {
				file := filepath.Join(t.TempDir(), "uri")
				if err := os.WriteFile(file, []byte(uri+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				args, env = append(args, "--mongodb-uri-file", file), nil
			}
			weft := startCommand(t, s, harness.Command{Args: args, Env: env})
			startEnvoy(t, s)
			if got := get(t, s); got.Status != 200 || got.Header.Get("X-Weft") != test.want {
				t.Errorf("%s, want %q", got, test.want)
			}
			shown := map[string]string{}
			cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", weft.Pid()))
			if err != nil {
				t.Fatal(err)
			}
			shown["ps"] = string(cmdline)
			for _, path := range []string{"/metrics", "/readyz", "/livez"} {
				shown[path] = page(t, admin+path)
			}
			harness.ExpectLog(t, weft, "msg=exchange")
			stopWeft(t, weft)
			log, err := os.ReadFile(weft.Log())
			if err != nil {
				t.Fatal(err)
			}
			shown["the log"] = string(log)
			for where, text := range shown {
				if strings.Contains(text, password) {
					t.Errorf("%s contains the password: %s", where, text)
				}
			}
			for where, text := range map[string]string{
				"the log": "msg=exchange", "/metrics": "weft_exchanges_total", "ps": "serve",
			} {
				if !strings.Contains(shown[where], text) {
					t.Errorf("%s does not contain %q: %s", where, text, shown[where])
				}
			}
		})
	}
}

// TestPasswordIsNotInErrors: errors about an invalid connection string do not contain the password, although the
// driver's errors quote parts of the string.
func TestPasswordIsNotInErrors(t *testing.T) {
	const no = "--mongodb-uri: invalid connection string; details are not shown"
	for _, test := range []struct{ uri, want string }{
		{"mongodb://u:pa55/w0rd@db:27017", no},
		{"mongodb://u:pa55@w0rd@db:27017", no},
		{"mongodb://u:pa55:w0rd@db:27017", no},
		{"mongodb://u:pa55w0rd%@db:27017", no},
		{"u:pa55w0rd@db:27017", no},
		{"mongodb://u:pa55w0rd@db:port", no},
		{"mongodb://u:pa55w0rd@db/?authMechanism=pa55w0rd", no},
		{"mongodb://db/?tlsCertificateKeyFile=/none&tlsCertificateKeyFilePassword=pa55w0rd", "open /none: no such file"},
		{"mongodb+srv://u:pa55w0rd@none.invalid:1", "a mongodb+srv URI has one host, without a port"},
		{"mongodb+srv://u:pa55w0rd@none.invalid/?authMechanism=pa55w0rd", no},
	} {
		for _, command := range [][]string{
			{"serve", "--admin", ""},
			{"check", "../../examples/user-profile/rules.yaml"},
			{"serve", "--help"},
			{"check", "--help"},
		} {
			cmd := exec.CommandContext(t.Context(), os.Args[0], command...)
			cmd.Env = append(os.Environ(), "WEFT_MONGODB_URI="+test.uri)
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
