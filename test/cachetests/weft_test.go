package cachetests

import (
	"bytes"
	"context"
	"net"
	"os"
	"testing"

	"weft/internal/cli"
	"weft/test/harness"
)

// TestMain lets the test binary run as weft in child processes.
func TestMain(m *testing.M) {
	const isWeft = "WEFT_TEST_IS_WEFT"
	if os.Getenv(isWeft) != "" {
		os.Exit(cli.Run(context.Background(), os.Args, os.Stdout, os.Stderr, "devel"))
	}
	if err := os.Setenv(isWeft, "1"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// rules keep the cores of all cases. Under /test, failures of the origin pass, so that the client gets their status.
const rules = `
version: 1
rules:
  - name: case
    match: {path: "/test/{id:string}"}
    core: &core {cache: true}
    extensions: &extensions
      extension:
        database: cachetests
        collection: cases
        where: {id: {param: id}}
        fields: {note: {type: string, default: ""}}
  - name: file
    match: {path: "/test/{id:string}/{_file:string}"}
    core: *core
    extensions: *extensions
  - name: stale
    match: {path: "/stale/{id:string}"}
    degrade: always
    core: {cache: true, stale_if_error: 10m}
    extensions: *extensions
`

// TestWeft runs the cases with a real Envoy and weft.
func TestWeft(t *testing.T) {
	suites, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	weft, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	origin := &Origin{}
	served := make(chan error, 1)
	go func() { served <- origin.Serve(listener) }()
	t.Cleanup(func() {
		_ = listener.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})

	s := harness.NewTestSystem(t, weft)
	s.LegacyAddr = listener.Addr().String()
	file := s.File("rules.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.StartMongod(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.StartWeft(t.Context(), "--rules", file); err != nil {
		t.Fatal(err)
	}
	bootstrap, err := harness.Bootstrap(t.Context(), weft, "--rules", file, "--legacy", s.LegacyAddr, "--weft", s.Socket,
		"--message-timeout", "20s", "--route-timeout", "1m")
	if err != nil {
		t.Fatal(err)
	}
	// The suite counts requests.
	bootstrap = bytes.ReplaceAll(bootstrap, []byte("num_retries: 1"), []byte("num_retries: 0"))
	if err := s.StartEnvoyWith(t.Context(), bootstrap); err != nil {
		t.Fatal(err)
	}
	runner := Runner{
		Origin: origin,
		URL:    s.URL,
		Client: harness.NewClient(false),
		Paths:  map[string]string{"stale": "/stale"},
		Own:    []string{"ETag", "Last-Modified"}, // of the composed body
	}
	defer runner.Client.CloseIdleConnections()
	table := Table{
		Suites: suites, Errors: runner.RunAll(t.Context(), suites, 100), Excluded: weftExcluded(), Reasons: reasons,
	}
	checkTable(t, &table, "results.txt")
}
