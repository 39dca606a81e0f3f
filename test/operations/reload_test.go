package operations_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/test/harness"
)

// TestReload changes the rules of a running weft as Kubernetes changes a mounted ConfigMap: each version is a folder,
// and a link is renamed to point to it. Invalid rules are rejected, and the ones before stay in use.
func TestReload(t *testing.T) {
	s, admin, dir, versions := newSystem(t), freeAddr(t), t.TempDir(), 0
	publish := func(path string) {
		t.Helper()
		versions++
		version := fmt.Sprintf("..version_%d", versions)
		text := strings.ReplaceAll(reloadRules, "PATH", path)
		for _, err := range []error{
			os.Mkdir(filepath.Join(dir, version), 0o700),
			os.WriteFile(filepath.Join(dir, version, "rules.yaml"), []byte(text), 0o600),
			os.Symlink(version, filepath.Join(dir, "..new")),
			os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	publish("/a/{id:int64}")
	rules := filepath.Join(dir, "rules.yaml")
	if err := os.Symlink("..data/rules.yaml", rules); err != nil {
		t.Fatal(err)
	}
	weft := startWeft(t, s, "--rules", rules, "--admin", admin)
	conn := dial(t, s.Socket)
	hasRule := func(path string) bool {
		t.Helper()
		stream, err := startExchange(t, conn, path)
		_ = stream.CloseSend()
		return err == nil
	}
	if !hasRule("/a/1") || hasRule("/b/1") {
		t.Error("the first rules are not those of the file")
	}
	publish("/b/{id:int64}")
	harness.ExpectLog(t, weft, `msg="new rules"`)
	harness.ExpectLog(t, weft, "Envoy configuration differs: regenerate it with weft envoy --rules "+rules)
	if hasRule("/a/1") || !hasRule("/b/1") {
		t.Error("new rules are not in use")
	}
	publish("/c/{id:int}")
	harness.ExpectLog(t, weft, rules+":4:19: rules[0].match.path: {id:int}: unknown type")
	if !hasRule("/b/1") {
		t.Error("an invalid file has ended the rules before it")
	}
	metrics := page(t, admin+"/metrics")
	for _, want := range []string{
		`weft_rules_info{hash="`,
		`weft_rules_reloads_total{result="applied"} 1`, `weft_rules_reloads_total{result="refused"} 1`,
		`weft_exchanges_total{also="",disposition="passed",reason="no-rule",rule=""} 2`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
}

const reloadRules = `version: 1
rules:
  - name: a
    match: {path: "PATH"}
    core: {verify: {id: id}}
    extensions:
      x: {database: d, collection: c, where: {id: {param: id}}, fields: {n: any}}
`
