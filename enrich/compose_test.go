package enrich

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const user7 = `{"userId":7,"username":"u","email":"e","createdAt":"c"}`

func TestCompose(t *testing.T) {
	rule := UserProfile()[0]
	parse := func(body string) Core {
		core, ok := rule.ParseCore([]byte(body), "")
		if !ok || core.Failed != "" {
			t.Fatalf("%s: %+v", body, core)
		}
		return core
	}
	core, user8 := parse(user7), strings.Replace(user7, "7", "8", 1)
	nobody := strings.Replace(user7, "7", "9223372036854775808", 1)
	extension := Extension{JSON: []byte(`{"tags":[]}`)}
	const coreFailed, extensionFailed = `"Failed to fetch core user profile."`, `"Failed to fetch extended user profile."`
	tests := []struct {
		name string
		core Core
		ext  Extension
		want string // x-weft, status (0 is the legacy one), body
	}{
		{"both", core, extension, `composed 0 {"core":` + user7 + `,"extension":{"tags":[]},"errors":[]}`},
		{
			"no core", FailedCore(LegacyError), extension,
			`degraded; reason=legacy-error 200 {"core":null,"extension":{"tags":[]},"errors":[` + coreFailed + `]}`,
		},
		{
			"a wrong type", core,
			Extension{Err: fmt.Errorf("field: %w", ErrWrongType)},
			`degraded; reason=extension-invalid 0 {"core":` + user7 + `,"extension":null,"errors":[` + extensionFailed + `]}`,
		},
		{
			"too late", core,
			Extension{Err: context.DeadlineExceeded},
			`degraded; reason=extension-timeout 0 {"core":` + user7 + `,"extension":null,"errors":[` + extensionFailed + `]}`,
		},
		{
			"MongoDB fails", core,
			Extension{Err: errors.New("no reachable servers")},
			`degraded; reason=extension-failed 0 {"core":` + user7 + `,"extension":null,"errors":[` + extensionFailed + `]}`,
		},
		{
			"another one's core",
			parse(user8),
			extension,
			`degraded; reason=key-mismatch 0 {"core":` + user8 + `,"extension":null,"errors":[` + extensionFailed + `]}`,
		},
		{
			"a core without the key",
			parse(nobody),
			extension,
			`degraded; reason=key-mismatch 0 {"core":` + nobody + `,"extension":null,"errors":[` + extensionFailed + `]}`,
		},
		{
			"neither", FailedCore(CoreInvalid),
			Extension{Err: context.DeadlineExceeded},
			`degraded; reason=core-invalid+extension-timeout 503 {"detail":"All upstream services are unavailable."}`,
		},
	}
	for _, test := range tests {
		a := rule.Compose([]Value{{Type: Int64, Int: 7}}, test.core, Found{bySource: [][]Extension{{test.ext}}}, 1<<20)
		if got := fmt.Sprintf("%s %d %s", a.Outcome, a.Status, a.Body); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.name, got, test.want)
		}
		if hasTag := a.ETag != ""; hasTag != (a.Outcome.Disposition == Composed) {
			t.Errorf("%s: entity tag %q", test.name, a.ETag)
		}
		noStore := slices.Contains(a.Headers().Set, Header{"cache-control", "no-store"})
		if noStore != (a.Outcome.Disposition == Degraded) {
			t.Errorf("%s: no-store: %t", test.name, noStore)
		}
	}
}

// TestComposeZeroValues: without a core and without extensions the response is the 503.
func TestComposeZeroValues(t *testing.T) {
	rule := UserProfile()[0]
	a := rule.Compose([]Value{{Type: Int64, Int: 7}}, Core{}, Found{}, 1<<20)
	want := `degraded; reason=core-empty+extension-failed 503 {"detail":"All upstream services are unavailable."}`
	if got := fmt.Sprintf("%s %d %s", a.Outcome, a.Status, a.Body); got != want {
		t.Errorf(" got %s\nwant %s", got, want)
	}
}

// FuzzParseCore compares ParseCore with encoding/json, and checks that a composite is valid JSON that contains the core
// byte for byte.
func FuzzParseCore(f *testing.F) {
	for _, seed := range []string{
		user7, " " + user7 + "\n", ByteOrderMark + user7, user7 + "x", "[" + user7 + "]", "null", "", "{}",
		strings.Replace(user7, "7", "7.0", 1), strings.Replace(user7, "7", "1e400", 1), strings.Replace(user7, "7", "-0", 1),
		strings.Replace(user7, "7", "0.001e-9223372036854775808", 1),
		strings.Replace(user7, `"u"`, `"\ud800"`, 1), strings.Replace(user7, `"u"`, "\"\x01\"", 1),
		strings.Replace(user7, `{`, `{"x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+",", 1),
	} {
		f.Add([]byte(seed))
	}
	rule := UserProfile()[0]
	f.Fuzz(func(t *testing.T, body []byte) {
		sent := bytes.Clone(body)
		core, ok := rule.ParseCore(body, "")
		if !bytes.Equal(sent, body) {
			t.Fatal("the body was changed")
		}
		if !ok {
			if len(body) <= rule.CoreLimit {
				t.Fatalf("%d bytes are within the limit", len(body))
			}
			return
		}
		if core.Failed != "" {
			return
		}
		var members map[string]any
		if err := json.Unmarshal(core.JSON, &members); err != nil {
			t.Fatalf("encoding/json rejects %q: %v", core.JSON, err)
		}
		if !bytes.Contains(body, core.JSON) {
			t.Fatalf("%q is no part of the body", core.JSON)
		}
		found := Found{bySource: [][]Extension{{{JSON: []byte(`{"a":1}`)}}}}
		a := rule.Compose([]Value{{Type: Int64, Int: 7}}, core, found, 1<<20)
		if !json.Valid(a.Body) || !bytes.HasPrefix(a.Body, append([]byte(`{"core":`), core.JSON...)) {
			t.Fatalf("composite %q", a.Body)
		}
	})
}

// FuzzParseCoreAccepts checks that valid JSON with the required members is a core.
func FuzzParseCoreAccepts(f *testing.F) {
	f.Add(`"x":1`, int64(7), "u")
	f.Add(`"x":{"y":[null,true,"\u00fc",1e3]}`, int64(-5), "\U0001f9f5")
	rule := UserProfile()[0]
	f.Fuzz(func(t *testing.T, more string, id int64, name string) {
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		body := []byte(fmt.Sprintf(`{%s,"userId":%d,"username":%s,"email":"e","createdAt":"c"}`, more, id, quoted))
		core, ok := rule.ParseCore(body, "")
		depth := bytes.Count(body, []byte("[")) + bytes.Count(body, []byte("{")) // at most
		if !json.Valid(body) || !utf8.Valid(body) || depth > maxDepth {
			return // encoding/json accepts invalid UTF-8 and deeper nesting
		}
		if !ok || core.Failed != "" || !rule.belongs(&core.units[0], []Value{{Type: Int64, Int: id}}) {
			t.Fatalf("%q: %+v", body, core)
		}
	})
}

func TestUnless(t *testing.T) {
	composed := Answer{Status: 200, Body: []byte("x"), ETag: `"abc"`}
	tests := []struct {
		ifNoneMatch string
		notModified bool
	}{
		{"", false},
		{`"abc"`, true},
		{`W/"abc"`, true},
		{`"x", "abc"`, true},
		{`"x","y" , W/"abc"`, true},
		{`*`, true},
		{` * `, true},
		{`"ab"`, false},
		{`"abc`, false},
		{`abc`, false},
		{`"x" "abc"`, true},
		{`"x, \"abc\""`, false},
		{`"x*"`, false},
		{`W/`, false},
		{`,,"abc"`, true},
	}
	for _, test := range tests {
		a := composed.WithConditional(test.ifNoneMatch)
		if (a.Status == 304) != test.notModified || (a.Body == nil) != test.notModified {
			t.Errorf("%q: %d %q", test.ifNoneMatch, a.Status, a.Body)
		}
	}
	if a := (Answer{Status: 200, Body: []byte("x")}).WithConditional("*"); a.Status != 200 {
		t.Errorf("without an entity tag: %d", a.Status)
	}
}

func FuzzWithConditional(f *testing.F) {
	f.Add(`"x", W/"abc"`)
	f.Fuzz(func(t *testing.T, ifNoneMatch string) {
		a := Answer{Status: 200, Body: []byte("x"), ETag: `"abc"`}.WithConditional(ifNoneMatch)
		if a.Status == 304 && strings.TrimSpace(ifNoneMatch) != "*" && !strings.Contains(ifNoneMatch, `"abc"`) {
			t.Errorf("%q does not contain the tag", ifNoneMatch)
		}
	})
}
