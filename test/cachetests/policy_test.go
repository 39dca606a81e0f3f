package cachetests

import (
	"flag"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"weft/enrich/httpcache"
)

var update = flag.Bool("update", false, "write the tables of results")

// TestPolicy runs the cases with a proxy that only has package httpcache. Its clock is that of the bubble.
func TestPolicy(t *testing.T) {
	suites, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	table := Table{Suites: suites, Errors: map[string]error{}, Excluded: excluded, Reasons: reasons}
	synctest.Test(t, func(t *testing.T) {
		origin, originListener, proxyListener := &Origin{}, newPipes(), newPipes()
		server := &http.Server{Handler: &proxy{origin: originListener.transport(), entries: map[string]httpcache.Entry{}}}
		var servers sync.WaitGroup
		servers.Go(func() { _ = origin.Serve(originListener) })
		servers.Go(func() { _ = server.Serve(proxyListener) })
		runner := Runner{Origin: origin, URL: "http://proxy", Client: &http.Client{
			Transport:     proxyListener.transport(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
		table.Errors = runner.RunAll(t.Context(), suites, 1)
		_ = originListener.Close()
		_ = server.Close()
		servers.Wait()
	})
	checkTable(t, &table, "results-policy.txt")
}

// checkTable compares a table with a file, and checks that each required case holds or has a reason why it does not.
func checkTable(t *testing.T, table *Table, file string) {
	t.Helper()
	for _, s := range table.Suites.Suites {
		for i := range s.Tests {
			c := &s.Tests[i]
			outcome, note := table.Outcome(s.ID, c)
			isFailure := outcome == Fails && c.Kind == Required
			if hasReason := table.Reasons[c.ID] != ""; isFailure != hasReason {
				t.Errorf("%s %s, has a reason: %t\n%s\n%s\n%v", c.ID, outcome, hasReason, c.Name, note, table.Errors[c.ID])
			}
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), table.String()); diff != "" {
		t.Errorf("%s has changed; see -update:\n%s", file, diff)
	}
}
