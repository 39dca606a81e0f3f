package rulesfile

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"weft/enrich"
)

var update = flag.Bool("update", false, "write testdata, docs/rules.md and the generated parts of rules.schema.json")

func TestBuiltin(t *testing.T) {
	f := Builtin()
	if len(f.Rules) != 2 || f.Rules[0].Name != "user" || f.Rules[1].Name != "composite-profile" || f.Warnings != nil {
		t.Errorf("%+v", f)
	}
	f.Rules[0].Name = "changed"
	if Builtin().Rules[0].Name != "user" {
		t.Error("two calls return the same rules")
	}
}

// TestEnvoySettings: a rules file says what Envoy's configuration needs, and has defaults for the rest.
func TestEnvoySettings(t *testing.T) {
	const text = `
version: 1
envoy: {legacy_idle_timeout: 900ms, retries: 0}
rules:
  - name: r
    match: {path: "/a/{id:int64}"}
    content_type: application/vnd.shop.v2+json;charset=UTF-8
    core: {verify: {id: id}}
    extensions: {x: {database: d, collection: c, where: {id: {param: id}}, fields: {n: {type: int64}}}}
`
	f, err := Parse("rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := Envoy{LegacyIdleTimeout: 900 * time.Millisecond, RouteTimeout: 3 * time.Second, MessageTimeout: time.Second}
	if f.Envoy != want {
		t.Errorf("got %+v, want %+v", f.Envoy, want)
	}
	if got := f.Rules[0].ContentType; got != "application/vnd.shop.v2+json;charset=UTF-8" {
		t.Errorf("content type %q", got)
	}
	if got := Builtin().Rules[0].ContentType; got != "application/json" {
		t.Errorf("content type by default %q", got)
	}
}

// TestCachePolicy: an extension has no cache unless the rule configures one; an empty mapping has the defaults.
func TestCachePolicy(t *testing.T) {
	for text, want := range map[string]*enrich.CachePolicy{
		"":            nil,
		", cache: {}": {MaxSize: 64 << 20, MaxAge: time.Minute},
		", cache: {max_size: 512KiB, max_age: 1.5s, stale_if_error: 24m}": {
			MaxSize: 512 << 10, MaxAge: 1500 * time.Millisecond, StaleIfError: 24 * time.Minute,
		},
	} {
		f, err := Parse("rules.yaml", []byte(`
version: 1
rules:
  - name: r
    match: {path: "/a/{id:uuid-java}"}
    core: {verify: {id: id}}
    extensions:
      x: {database: d, collection: c, where: {id: {param: id}, kind: {value: x}}, fields: {n: int64}`+text+`}
`))
		if err != nil {
			t.Fatal(err)
		}
		src := f.Rules[0].Sources[0]
		if !reflect.DeepEqual(src.Cache, want) {
			t.Errorf("%s: %+v, want %+v", text, src.Cache, want)
		}
		if src.Where[0].Type != enrich.UUIDJava || src.Where[1].Type != enrich.String {
			t.Errorf("types of the conditions: %+v", src.Where)
		}
	}
}

// TestMaxStaleIfError: each rule has the longest stale_if_error of all, because rules share cores.
func TestMaxStaleIfError(t *testing.T) {
	text := "version: 1\nrules:\n"
	for name, keep := range map[string]string{"a": "cache: true", "b": "stale_if_error: 10m", "c": "stale_if_error: 5m"} {
		text += fmt.Sprintf(`  - name: %[1]s
    match: {path: "/%[1]s/{id:int64}"}
    core: {verify: {id: id}, %s}
    degrade: always
    extensions: {x: {database: d, collection: c, where: {id: {param: id}}, fields: {n: int64}}}
`, name, keep)
	}
	f, err := Parse("rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range f.Rules {
		if r.Keep.MaxStaleIfError != 10*time.Minute {
			t.Errorf("%s: %v", r.Name, r.Keep.MaxStaleIfError)
		}
	}
}

// TestBadConfig checks the exact errors and warnings for the files in testdata/badconfig.
func TestBadConfig(t *testing.T) {
	files, err := filepath.Glob("testdata/badconfig/*.txtar")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil || len(archive.Files) != 2 {
				t.Fatalf("want rules.yaml and message: %v", err)
			}
			got := "\n"
			if f, err := Parse("rules.yaml", archive.Files[0].Data); err == nil {
				got = "warning: " + f.Warnings.Error() + "\n"
			} else if errs := Errors(nil); errors.As(err, &errs) {
				got = errs.Error() + "\n"
			}
			if *update {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(archive.Files[1].Data); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

// TestEveryErrorAtOnce: errors that the schema finds and other errors are reported together, in file order.
func TestEveryErrorAtOnce(t *testing.T) {
	_, err := Parse("rules.yaml", []byte(`version: 1
rules:
  - name: a
    match: {path: "/a/{id:int}"}
    extensions:
      x: {database: d, collection: c, where: {id: {param: ide}}, fields: {n: {type: int64, default: "0"}}}
  - name: a
    mach: {path: /b}
    extensions: {}
`))
	want := []string{
		"4:19: rules[0].match.path: ", "6:59: rules[0].extensions.x.where.id.param", "6:101",
		"7:5: rules[1]: match is missing", "7:11: rules[1].name", "8:5: rules[1]: unknown key",
		"9:17: rules[1].extensions: ",
	}
	if err == nil {
		t.Fatal("no errors")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%s", err)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, "rules.yaml:"+want[i]) {
			t.Errorf("%s\nwant %s", line, want[i])
		}
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("../../examples/user-profile/rules.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("version: 1\nrules: [*a, &a {<<: *a}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("f", text)
		if err != nil {
			if errs := Errors(nil); !errors.As(err, &errs) || len(errs) == 0 {
				t.Errorf("%v", err)
			}
			return
		}
		for _, r := range file.Rules {
			for _, s := range r.Sources {
				s.Default(make(enrich.Key, len(s.Where)))
			}
		}
	})
}

// TestSpellings: a byte order mark, a YAML directive and CRLF do not change the rules.
func TestSpellings(t *testing.T) {
	text, err := os.ReadFile("../../examples/user-profile/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, spelled := range map[string]string{
		"byte order mark": "\ufeff" + string(text),
		"directive":       "%YAML 1.2\n---\n" + string(text) + "...\n",
		"CRLF":            strings.ReplaceAll(string(text), "\n", "\r\n"),
	} {
		f, err := Parse("rules.yaml", []byte(spelled))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(f.Rules, Builtin().Rules) {
			t.Errorf("%s: different rules", name)
		}
	}
}

// TestHost: hosts are lower-cased, because Envoy rejects two virtual hosts that differ only in case.
func TestHost(t *testing.T) {
	text, err := os.ReadFile("../../examples/user-profile/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	with := strings.Replace(string(text), "    match:\n", "    match:\n      host: \"*.Example.COM\"\n", 1)
	f, err := Parse("rules.yaml", []byte(with))
	if err != nil || f.Rules[0].Host != "*.example.com" {
		t.Errorf("%+v, %v", f, err)
	}
}
