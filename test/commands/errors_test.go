package commands_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestErrors checks the error and the exit status of each command for invalid usage.
func TestErrors(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want string
		exit int
	}{
		{
			"not a MongoDB URI",
			[]string{"serve", "--mongodb-uri", "localhost:27017"},
			`--mongodb-uri: error parsing uri: scheme must be "mongodb" or "mongodb+srv"; ` +
				`want, for example, mongodb://localhost:27017`, 1,
		},
		{
			"not a URL",
			[]string{"serve", "--otlp-endpoint", "localhost:4317"},
			`--otlp-endpoint: "localhost:4317": want http://host:port, or https://host:port for TLS`, 1,
		},
		{"unknown log format", []string{"serve", "--log-format", "xml"}, `--log-format "xml": want text or json`, 2},
		{
			"unknown log level",
			[]string{"serve", "--log-level", "loud"},
			`--log-level "loud": want debug, info, warn or error`, 2,
		},
		{
			"port in use",
			[]string{"serve", "--insecure", "--listen", busy.Addr().String()},
			"listen on " + busy.Addr().String() + ": listen tcp " + busy.Addr().String() +
				": bind: address already in use; give unix:PATH or a free host:port", 1,
		},
		{
			"file is not a socket",
			[]string{"serve", "--listen", "unix:" + file},
			"listen on unix:" + file + ": listen unix " + file +
				": bind: address already in use; choose another path, such as unix:weft.sock", 1,
		},
		{
			"negative duration",
			[]string{"serve", "--drain-window", "-5s"},
			`invalid value "-5s" for flag -drain-window: want 0s or more; see weft serve --help`, 2,
		},
		{
			"zero",
			[]string{"serve", "--max-waiting-reads", "0"},
			`invalid value "0" for flag -max-waiting-reads: want 1 or more; see weft serve --help`, 2,
		},
		{
			"more than 100 %",
			[]string{"envoy", "--trace-sampling", "200"},
			`invalid value "200" for flag -trace-sampling: want 0 to 100; see weft envoy --help`, 2,
		},
		{
			"unexpected argument",
			[]string{"serve", "now"},
			`serve: unexpected argument "now"; see weft serve --help`, 2,
		},
		{
			"unknown flag",
			[]string{"envoy", "--legcy", "x:1"},
			"flag provided but not defined: -legcy; see weft envoy --help", 2,
		},
		{"no port", []string{"envoy", "--legacy", "users"}, `address "users": want host:port`, 1},
		{
			"timeout without unit",
			[]string{"envoy", "--route-timeout", "3"},
			`invalid value "3" for flag -route-timeout: time: missing unit in duration "3"; see weft envoy --help`, 2,
		},
		{"unknown command", []string{"sreve"}, `unknown command "sreve"; see weft --help`, 2},
		{
			"missing rules file",
			[]string{"serve", "--rules", "nowhere.yaml"},
			"rules file: open nowhere.yaml: no such file or directory", 1,
		},
		{
			"message timeout over route timeout",
			[]string{"envoy", "--message-timeout", "3s"},
			"--message-timeout 3s must be less than --route-timeout 3s: " +
				"otherwise the route times out while weft still waits for MongoDB", 2,
		},
		{
			"unknown format",
			[]string{"envoy", "--format", "xml"},
			`unknown --format "xml"; use one of bootstrap, istio, gateway, weft-ca, weft-client`, 2,
		},
		{
			"password on the command line",
			[]string{"serve", "--mongodb-uri", "mongodb://user:password@localhost"},
			"--mongodb-uri contains a password, which ps shows to every user: " +
				"use WEFT_MONGODB_URI or --mongodb-uri-file, and change the password", 2,
		},
		{
			"two connection strings",
			[]string{"serve", "--mongodb-uri", "mongodb://localhost", "--mongodb-uri-file", file},
			"--mongodb-uri (WEFT_MONGODB_URI) and --mongodb-uri-file (WEFT_MONGODB_URI_FILE) are both set; set only one", 2,
		},
		{
			"missing file with a connection string",
			[]string{"serve", "--mongodb-uri-file", "nowhere"},
			"--mongodb-uri-file: open nowhere: no such file or directory", 1,
		},
		{
			"invalid URL of Redis",
			[]string{"serve", "--redis-url", "localhost:6379"},
			`--redis-url: redis: invalid URL scheme: localhost; want, for example, redis://localhost:6379`, 1,
		},
		{
			"password of Redis on the command line",
			[]string{"serve", "--redis-url", "redis://user:password@localhost"},
			"--redis-url contains a password, which ps shows to every user: " +
				"use WEFT_REDIS_URL or --redis-url-file, and change the password", 2,
		},
		{
			"two URLs of Redis",
			[]string{"serve", "--redis-url", "redis://localhost", "--redis-url-file", file},
			"--redis-url (WEFT_REDIS_URL) and --redis-url-file (WEFT_REDIS_URL_FILE) are both set; set only one", 2,
		},
		{
			"invalid size",
			[]string{"serve", "--core-cache-size", "64MB"},
			`invalid value "64MB" for flag -core-cache-size: want a size such as 512KiB or 64MiB; see weft serve --help`, 2,
		},
		{
			"TCP without TLS",
			[]string{"serve", "--listen", "0.0.0.0:1"},
			"--listen 0.0.0.0:1 is TCP without TLS: set --tls-cert, --tls-key and --tls-client-ca, " +
				"listen on unix:PATH, or accept the risk with --insecure", 2,
		},
		{
			"certificate without key",
			[]string{"serve", "--tls-cert", file},
			"--tls-cert and --tls-key are required together", 2,
		},
		{
			"no certificate",
			[]string{"serve", "--listen", "unix:" + file + ".sock", "--tls-cert", file, "--tls-key", file},
			"TLS: " + file + " and " + file + ": tls: failed to find any PEM data in certificate input", 1,
		},
		{
			"client CA without TLS",
			[]string{"serve", "--tls-client-ca", file},
			"--tls-client-ca and --allow-spiffe-id need --tls-cert and --tls-key", 2,
		},
		{
			"SPIFFE IDs without client CA",
			[]string{"serve", "--tls-cert", file, "--tls-key", file, "--allow-spiffe-id", "spiffe://x/y"},
			"--allow-spiffe-id needs --tls-client-ca: without it clients send no certificate", 2,
		},
		{
			"TLS and insecure",
			[]string{"serve", "--tls-cert", file, "--tls-key", file, "--insecure"},
			"--insecure and --tls-cert exclude each other; remove one", 2,
		},
		{
			"not a SPIFFE ID",
			[]string{"serve", "--allow-spiffe-id", "envoy"},
			`--allow-spiffe-id "envoy": scheme is missing or invalid; ` +
				`want, for example, spiffe://cluster.local/ns/shop/sa/envoy`, 2,
		},
		{
			"CA bundle without name",
			[]string{"envoy", "--weft-tls-ca", "/ca.crt"},
			"TLS to weft: --weft-tls-ca and --weft-tls-san are required; without both, any server could pose as weft", 1,
		},
		{
			"Envoy's certificate without key",
			[]string{"envoy", "--weft-tls-ca", "/ca.crt", "--weft-tls-san", "w", "--weft-tls-cert", "/c.crt"},
			"TLS to weft: --weft-tls-cert and --weft-tls-key are required together", 1,
		},
		{"no CA bundle", []string{"envoy", "--format", "weft-ca"}, "secret weft-ca: --weft-tls-ca is required", 1},
		{"no file to check", []string{"check"}, "check: want a rules file, for example weft check rules.yaml", 2},
		{
			"no request to explain",
			[]string{"explain", "/x"},
			"explain: want METHOD URL [FILE], for example weft explain GET /api/v1/users/7 rules.yaml", 2,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stderr bytes.Buffer
			if test.args[0] == "serve" {
				test.args = append([]string{"serve", "--admin", ""}, test.args[1:]...)
			}
			cmd := weft(t.Context(), test.args...)
			cmd.Stderr = &stderr
			err := cmd.Run()
			if cmd.ProcessState.ExitCode() != test.exit {
				t.Errorf("%v, want exit status %d", err, test.exit)
			}
			if want := "weft: " + test.want + "\n"; stderr.String() != want {
				t.Errorf("stderr\n got %q\nwant %q", stderr.String(), want)
			}
		})
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "mine" {
		t.Errorf("weft changed a user's file: %q, %v", got, err)
	}
}
