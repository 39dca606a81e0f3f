package operations_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"weft/test/harness"
)

// TestMetricsAreBounded: the number of series does not depend on what clients and legacy services send, and the log
// contains no client IDs. promtool checks names and units.
func TestMetricsAreBounded(t *testing.T) {
	s, admin := newSystem(t), freeAddr(t)
	weft := startWeft(t, s, "--admin", admin, "--budget", "1ms")
	conn := dial(t, s.Socket)
	sendAll := func(n int) {
		id := fmt.Sprintf("%d%d", n, n)
		for _, path := range []string{
			"/" + id, "/api/v1/users/" + id, "/api/v1/users/x" + id, "/api/v1/users/" + id + "?q=" + id,
			"/api/v3/composite-profile/" + id + "/", "\xff" + id,
		} {
			for _, response := range [][2]string{
				{fmt.Sprint(200 + n%400), fmt.Sprintf("details_%d", n)},
				{fmt.Sprint(n), "via_upstream"},
				{"200", "via_upstream"},
			} {
				exchange(t, conn, id, id, path, response[0], response[1], `{"id":`+id)
			}
		}
	}
	series := func() (names []string) {
		for line := range strings.Lines(page(t, admin+"/metrics")) {
			if strings.HasPrefix(line, "weft_") {
				name, _, _ := strings.Cut(line, " ")
				names = append(names, name)
			}
		}
		return names
	}
	for n := range 100 { // includes statuses of each class
		sendAll(n * 7)
	}
	before := series()
	for n := range 100 {
		sendAll(n*7 + 1_000_003)
	}
	_, text, _ := strings.Cut(page(t, admin+"/metrics"), " ")
	// A few combinations of reasons are rare. A label with what clients send would add hundreds of series.
	after := series()
	added := slices.DeleteFunc(slices.Clone(after), func(name string) bool { return slices.Contains(before, name) })
	if len(added) > 10 || len(before) < 100 {
		t.Errorf("%d series, then %d; new are\n%s", len(before), len(after), strings.Join(added, "\n"))
	}
	t.Logf("%d series, then %d; new are %q", len(before), len(after), added)

	if err := weft.Kill(); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(weft.Log())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(log), "1000003") {
		t.Errorf("the log contains a client's ID: %s", log)
	}
	if !strings.Contains(string(log), "mongodb unavailable") {
		t.Errorf("the log does not contain that MongoDB is unavailable: %s", log)
	}

	checkMetrics(t, text)
	for _, want := range []string{
		"\nweft_exchanges_open 0\n",
		`weft_legacy_duration_seconds_count{rule="user"} `, `weft_mongodb_duration_seconds_count{rule="user"} `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// checkMetrics checks names, units and help with promtool.
func checkMetrics(t *testing.T, text string) {
	t.Helper()
	promtool, err := harness.Tool("promtool")
	if err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
