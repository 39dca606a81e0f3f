package enrich

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-json-experiment/json/jsontext"
)

// fieldStore is a Store of which each field has its name and the key as its value; the key 13 fails.
type fieldStore struct{}

func (fieldStore) Find(_ context.Context, src *Source, keys []Key) []Extension {
	found := make([]Extension, len(keys))
	for i, k := range keys {
		key := k[len(k)-1].String()
		if key == "13" {
			found[i].Err = errors.New("bad")
			continue
		}
		var fields []string
		for _, f := range src.Fields {
			fields = append(fields, fmt.Sprintf("%q:%q", f.Name, f.Name+" of "+key))
		}
		found[i].JSON = []byte("{" + strings.Join(fields, ",") + "}")
	}
	return found
}

// selectRule returns a rule with two extensions. Names that are not known are ignored if ignore is set.
func selectRule(shape Shape, at, list Pointer, ignore bool) *Rule {
	where := []Condition{{Field: "id", From: FromCore, At: at + "/id", Type: Int64}}
	r := Rule{
		Name: "r", Methods: []string{"GET"}, Path: mustTemplate("/r"), CoreLimit: 1 << 20,
		Shape: shape, MergeAt: at, Members: Members{Core: "core", Errors: "errors"},
		Core: []CoreField{{At: at + "/id", Type: Int64}},
		Sources: []*Source{
			{Name: "x", Failed: "no x", Where: where, Fields: []Field{
				{Name: "a", Path: "a", Type: String},
				{Name: "b", Path: "deep.b", Type: String},
				{Name: "c.d", Path: "c", Type: String},
			}},
			{Name: "y", Failed: "no y", Where: where, Fields: []Field{{Name: "a", Path: "a", Type: String}}},
		},
		Select:   Select{Param: "fields", IgnoreUnknown: ignore},
		Messages: Messages{CoreFailed: "no core", BothFailed: "nothing"},
	}
	if list != "none" {
		r.List = &list
	}
	return r.Ready()
}

func TestNarrow(t *testing.T) {
	composite, merge := selectRule(ShapeComposite, "", "none", false), selectRule(ShapeMerge, "", "none", false)
	for _, test := range []struct {
		name  string
		rule  *Rule
		query string
		core  string
		want  string // x-weft and body
	}{
		{
			"members keep their bytes", composite, "fields=core.u,x.b", `{ "id" : 1 , "u" : 1.50e1, "v":[ ] }`,
			`composed {"core":{"u" : 1.50e1},"x":{"b":"b of 1"},"errors":[]}`,
		},
		{
			"whole core", composite, "fields=x.a,core,core.u", `{ "id" : 1 }`,
			`composed {"core":{ "id" : 1 },"x":{"a":"a of 1"},"errors":[]}`,
		},
		{"no core", composite, "fields=y", `{"id":1}`, `composed {"y":{"a":"a of 1"},"errors":[]}`},
		{"nothing else", composite, "fields=errors", `{"id":1}`, `composed {"errors":[]}`},
		{
			"escaped names, twice", composite, "fields=core.%c3%bc", `{"id":1,"\u00fc":2,"ü" :3}`,
			`composed {"core":{"\u00fc":2,"ü" :3},"errors":[]}`,
		},
		{"absent member", composite, "fields=core.w", `{"id":1}`, `composed {"core":{},"errors":[]}`},
		{
			"several parameters and encoded commas", composite, "a=1&fields=x.c.d%2Cx.a&fields=x.b&%66ields=y", `{"id":1}`,
			`composed {"x":{"a":"a of 1","b":"b of 1","c.d":"c.d of 1"},"y":{"a":"a of 1"},"errors":[]}`,
		},
		{
			"only errors of what was selected", composite, "fields=y,core.id", `{"id":13}`,
			`degraded; reason=extension-failed {"core":{"id":13},"y":null,"errors":["no y"]}`,
		},
		{
			"merge", merge, "fields=u,x.a", ` { "id":1 , "u" : {"id":2} } `,
			`composed {"u" : {"id":2},"x":{"a":"a of 1"}}`,
		},
		{"merge without members of the core", merge, "fields=y", `{"id":1}`, `composed {"y":{"a":"a of 1"}}`},
		{"merge without extensions", merge, "fields=id", `{"id":13}`, `composed {"id":13}`},
		{
			"merge, failed", merge, "fields=y", `{"id":13}`,
			`degraded; reason=extension-failed {"y":null,"errors":["no y"]}`,
		},
		{
			"deep merge: what surrounds the object stays", selectRule(ShapeMerge, "/d", "none", false), "fields=u,x.a",
			`{"d":1,"d": {"id":1,"u":2 } , "e":3}`, `composed {"d":1,"d": {"u":2,"x":{"a":"a of 1"}} , "e":3}`,
		},
		{
			"list", selectRule(ShapeMerge, "", "/l", false), "fields=u,x.a",
			`{"n":2,"l":[ {"id":1,"u":1}, {"u":2,"id":2 } ],"id":0}`,
			`composed {"n":2,"l":[ {"u":1,"x":{"a":"a of 1"}}, {"u":2,"x":{"a":"a of 2"}} ],"id":0}`,
		},
		{
			"list of composites without cores", selectRule(ShapeComposite, "", "", false), "fields=x.a",
			`[ {"id":1}, {"id":13} ]`,
			`degraded; reason=extension-failed [ {"x":{"a":"a of 1"},"errors":[]}, {"x":null,"errors":["no x"]} ]`,
		},
		{
			"unknown names are ignored", selectRule(ShapeComposite, "", "none", true), "fields=core.u.v,z,x.z,,x.a", `{"id":1}`,
			`composed {"x":{"a":"a of 1"},"errors":[]}`,
		},
		{"only unknown names", selectRule(ShapeMerge, "", "none", true), "fields=x.z", `{"id":1}`, `composed {}`},
	} {
		rule, _, unknown := test.rule.Narrow("/r?" + test.query)
		if unknown != nil {
			t.Errorf("%s: unknown %q", test.name, unknown)
			continue
		}
		core, a := compose(t, rule, fieldStore{}, nil, test.core)
		if got := fmt.Sprintf("%s %s", a.Outcome, a.Body); core.Failed != "" || got != test.want {
			t.Errorf("%s: %s\n got %s\nwant %s", test.name, core.Failed, got, test.want)
		}
		if _, whole := compose(t, test.rule, fieldStore{}, nil, test.core); a.ETag != "" && whole.ETag == a.ETag {
			t.Errorf("%s: the entity tag is that of the whole answer", test.name)
		}
	}
}

// TestNarrowTarget: the legacy service gets the client's spelling without the parameter, unless the rule forwards it.
func TestNarrowTarget(t *testing.T) {
	for target, want := range map[string]string{
		"/r":                                "",
		"/r?":                               "",
		"/r?a=fields":                       "",
		"/r?xfields=a":                      "",
		"/r?fields=x":                       "/r",
		"/r?fields=x&":                      "/r?",
		"/r?b=%7E&&a=+&fields=x.a&c=1&c":    "/r?b=%7E&&a=+&c=1&c",
		"/r?fields=x&a=1&fi%65lds=y?":       "/r?a=1",
		"/r?a=%zz&fields=core.u&fields=y.a": "/r?a=%zz",
	} {
		rule := selectRule(ShapeComposite, "", "none", true)
		narrowed, got, _ := rule.Narrow(target)
		if got != want || (narrowed == rule) != (want == "") {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
		rule.Select.Forward = true
		if _, got, _ := rule.Narrow(target); got != "" {
			t.Errorf("%s: %q, want the client's target", target, got)
		}
		rule.Select.Param = ""
		if narrowed, got, unknown := rule.Narrow(target); narrowed != rule || got != "" || unknown != nil {
			t.Errorf("%s: a rule without select is narrowed", target)
		}
	}
}

func TestRejectSelection(t *testing.T) {
	composite, merge := selectRule(ShapeComposite, "", "none", false), selectRule(ShapeMerge, "/d", "none", false)
	for query, want := range map[string]string{
		"fields=":                               `""`,
		"fields=x.z,tags,x.z&fields=core.u.v,x": `"x.z","tags","core.u.v"`,
		"fields=x.&fields=core.":                `"x.","core."`,
		"fields=%3Cb%3E%22%00%ff":               `"\u003cb\u003e\"\u0000\ufffd"`,
	} {
		_, _, unknown := composite.Narrow("/r?" + query)
		a := composite.RejectSelection(unknown)
		const mark = "rejected; reason=unknown-member"
		if a.Status != 400 || a.Type != "application/problem+json" || a.Outcome.String() != mark {
			t.Errorf("%+v", a)
		}
		const head = `{"title":"Bad Request","status":400,"detail":"unknown names in the query parameter fields: \"`
		const known = `"known":["core","core.id","x","x.a","x.b","x.c.d","y","y.a"]}`
		if got := string(a.Body); !json.Valid(a.Body) || !strings.HasPrefix(got, head) ||
			!strings.HasSuffix(got, `"unknown":[`+want+`],`+known) {
			t.Errorf("%s: %s", query, a.Body)
		}
	}
	many := strings.Repeat("a.b,", 10)
	for i := range 20_000 {
		many += fmt.Sprintf("%x.,", i)
	}
	if _, _, unknown := merge.Narrow("/r?fields=" + many); len(unknown) != maxUnknown || unknown[1] != "0." {
		t.Errorf("%d names are listed: %q", len(unknown), unknown)
	}
	long := strings.Repeat("l", 10_000)
	if _, _, unknown := composite.Narrow("/r?fields=" + long); len(unknown) != 1 || unknown[0] != long[:maxUnknownLength] {
		t.Errorf("a long name is listed: %q", unknown)
	}
	if got := merge.Selectable(); !slices.Equal(got, []string{"id", "x", "x.a", "x.b", "x.c.d", "y", "y.a"}) {
		t.Errorf("merge: %q", got)
	}
	if _, _, unknown := merge.Narrow("/r?fields=core.u,u"); !slices.Equal(unknown, []string{"core.u"}) {
		t.Errorf("merge: unknown %q", unknown)
	}
}

// TestSelectedDegraded: without a core, the answer has the selected extensions. If it selects no
// extension, it is a 503.
func TestSelectedDegraded(t *testing.T) {
	source := &Source{
		Name: "x", Failed: "no x", Where: []Condition{{Field: "id"}},
		Fields: []Field{{Name: "a", Type: String}, {Name: "b", Type: String}},
	}
	whole := Rule{
		Sources: []*Source{source}, Members: Members{Core: "core", Errors: "errors"}, Select: Select{Param: "fields"},
		Messages: Messages{CoreFailed: "no core", BothFailed: "nothing"},
	}.Ready()
	for query, want := range map[string]string{
		"fields=x.a,core.u": `200 {"core":null,"x":{"a":"a of 7"},"errors":["no core"]}`,
		"fields=x.a":        `200 {"x":{"a":"a of 7"},"errors":["no core"]}`,
		"fields=core.u":     `503 {"detail":"nothing"}`,
	} {
		rule, _, _ := whole.Narrow("/?" + query)
		read := Fetch(t.Context(), fieldStore{}, rule, []Value{{Type: Int64, Int: 7}})
		core := FailedCore(LegacyError)
		a := rule.Compose(nil, core, read.Await(core, 0), 1<<20)
		read.Stop()
		if got := fmt.Sprintf("%d %s", a.Status, a.Body); got != want {
			t.Errorf("%s\n got %s\nwant %s", query, got, want)
		}
	}
}

// TestSelectionsShareCommands: requests with the same fields of an extension share a command, whatever else they
// select. A selection of all fields is like none.
func TestSelectionsShareCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := selectRule(ShapeMerge, "", "none", false)
		store := &recordingStore{release: make(chan struct{})}
		batch := Batch(store)
		var readers sync.WaitGroup
		for id, query := range []string{
			"fields=x.b,u", "fields=x.b", "fields=v,x.b,y", // the first one is alone: it does not wait
			"fields=x", "a=1", "fields=x.c.d,x.b,x.a",
		} {
			narrowed, _, _ := rule.Narrow("/r?" + query)
			readers.Go(func() { batch.Find(t.Context(), narrowed.Sources[0], []Key{number(int64(id))}) })
			synctest.Wait()
		}
		close(store.release)
		readers.Wait()
		slices.Sort(store.asked)
		if want := []string{"a b c.d: 1", "a b c.d: 2", "b: 1", "b: 2"}; !slices.Equal(store.asked, want) {
			t.Errorf("commands %q, want %q", store.asked, want)
		}
	})
}

// recordingStore records the fields and the number of keys of each command. It holds them until release is closed.
type recordingStore struct {
	mu      sync.Mutex
	asked   []string
	release chan struct{}
}

func (r *recordingStore) Find(ctx context.Context, src *Source, keys []Key) []Extension {
	var fields []string
	for _, f := range src.Fields {
		fields = append(fields, f.Name)
	}
	r.mu.Lock()
	r.asked = append(r.asked, fmt.Sprintf("%s: %d", strings.Join(fields, " "), len(keys)))
	r.mu.Unlock()
	<-r.release
	return fieldStore{}.Find(ctx, src, keys)
}

// FuzzParseSelection checks that names and others are the parts of a query.
func FuzzParseSelection(f *testing.F) {
	f.Add("a=1&fields=x.a,core&b=%2C&fi%65lds=%2c&&")
	f.Fuzz(func(t *testing.T, query string) {
		names, others := parseSelection(query, "fields")
		for _, other := range others {
			name, _, _ := strings.Cut(other, "=")
			if decoded, err := url.QueryUnescape(name); err == nil && decoded == "fields" || name == "fields" {
				t.Errorf("%q is left in %q", name, query)
			}
		}
		if names == nil && strings.Join(others, "&") != query {
			t.Errorf("%q becomes %q", query, others)
		}
		if values, err := url.ParseQuery(query); err == nil { // with semicolons it fails
			var want []string
			for _, v := range values["fields"] {
				want = append(want, strings.Split(v, ",")...)
			}
			if !slices.Equal(names, want) {
				t.Errorf("%q: %q, want %q", query, names, want)
			}
		}
	})
}

// FuzzNarrow checks that a selected answer is the complete answer without what was not selected, and that members of
// the core keep their bytes.
func FuzzNarrow(f *testing.F) {
	f.Add([]byte(`{ "id" : 1.0 , "u":{"id":2},"é":"\ud800" }`), "fields=core.u,x.b,y&fields=u", uint8(0))
	f.Add([]byte(`[{"id":1,"u":[]},{"id":13}]`), "fields=u,x.c.d,errors", uint8(3))
	f.Add([]byte(`{"d":{},"d":{"id":1,"u":1e3 }}`), "fields=u,u", uint8(2))
	f.Add([]byte(`{"l":[{"id":1}],"l":[{"id":2,"u":0,"u":1}]}`), "fields=core,core.u,x", uint8(4))
	rules := []*Rule{
		selectRule(ShapeComposite, "", "none", true), selectRule(ShapeMerge, "", "none", true),
		selectRule(ShapeMerge, "/d", "none", true), selectRule(ShapeMerge, "", "", true),
		selectRule(ShapeComposite, "", "/l", true), selectRule(ShapeMerge, "/d", "/l", true),
	}
	f.Fuzz(func(t *testing.T, body []byte, query string, variant uint8) {
		rule := rules[int(variant)%len(rules)]
		narrowed, _, _ := rule.Narrow("/r?" + query)
		core, whole := compose(t, rule, fieldStore{}, nil, string(body))
		cut, got := compose(t, narrowed, fieldStore{}, nil, string(body))
		if core.Failed != cut.Failed {
			t.Fatalf("%q: %q, but %q with a selection", body, core.Failed, cut.Failed)
		}
		names, _ := parseSelection(query, "fields")
		if core.Failed != "" || names == nil {
			return
		}
		want := decoded(t, whole.Body)
		restrictUnits(rule, want, names)
		if after := decoded(t, got.Body); !reflect.DeepEqual(after, want) {
			t.Fatalf("%q with %q\n got %s\nwant %v", body, query, got.Body, want)
		}
		checkBytes(t, core.JSON, got.Body)
	})
}

// restrictUnits removes what is not selected from an answer.
func restrictUnits(r *Rule, answer any, names []string) {
	parents := []any{answer}
	if r.List != nil {
		for _, name := range r.List.Names() {
			answer = answer.(map[string]any)[name]
		}
		parents = answer.([]any)
	}
	for _, unit := range parents {
		object := unit.(map[string]any)
		for _, name := range r.MergeAt.Names() {
			object = object[name].(map[string]any)
		}
		isSelected := func(prefix, name string) bool { return slices.Contains(names, prefix+name) }
		keep := func(object any, isKept func(name string) bool) {
			if members, ok := object.(map[string]any); ok {
				for name := range members {
					if !isKept(name) {
						delete(members, name)
					}
				}
			}
		}
		hasSource := map[string]bool{}
		for _, s := range r.Sources {
			isField := func(name string) bool { return isSelected(s.Name+".", name) }
			all := isSelected("", s.Name)
			hasSource[s.Name] = all || slices.ContainsFunc(s.Fields, func(f Field) bool { return isField(f.Name) })
			if !all {
				keep(object[s.Name], isField)
			}
		}
		isCoreMember := func(prefix, name string) bool {
			return name != "" && !strings.Contains(name, ".") && isSelected(prefix, name)
		}
		if r.Shape == ShapeComposite {
			all := isSelected("", "core")
			hasCore := all || slices.ContainsFunc(names, func(name string) bool {
				member, ok := strings.CutPrefix(name, "core.")
				return ok && isCoreMember("core.", member)
			})
			if !all {
				keep(object["core"], func(name string) bool { return isCoreMember("core.", name) })
			}
			keep(object, func(name string) bool {
				return name == "errors" || hasSource[name] || name == "core" && hasCore
			})
		} else {
			keep(object, func(name string) bool {
				return name == "errors" || hasSource[name] || name != "x" && name != "y" && isCoreMember("", name)
			})
		}
		if errs, ok := object["errors"].([]any); ok {
			object["errors"] = slices.DeleteFunc(errs, func(e any) bool {
				source, isSource := strings.CutPrefix(e.(string), "no ")
				return isSource && !hasSource[source]
			})
			if len(object["errors"].([]any)) == 0 && r.Shape == ShapeMerge {
				delete(object, "errors")
			}
		}
	}
}

// checkBytes checks that each value in an answer that is not of a Store is in the core, byte for byte.
func checkBytes(t *testing.T, core, answer []byte) {
	t.Helper()
	dec := jsontext.NewDecoder(strings.NewReader(string(answer)),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for dec.PeekKind() != 0 {
		switch dec.PeekKind() {
		case '"', '0':
			value, err := dec.ReadValue()
			if err != nil {
				t.Fatal(err)
			}
			ours := strings.Contains(string(value), " of ") || strings.HasPrefix(string(value), `"no `) ||
				slices.Contains([]string{`"core"`, `"errors"`, `"x"`, `"y"`, `"a"`, `"b"`, `"c.d"`}, string(value))
			if !ours && !strings.Contains(string(core), string(value)) {
				t.Fatalf("%s is not in %s", value, core)
			}
		default:
			if _, err := dec.ReadToken(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestProject: an extension with all fields has those that a request selects; anything else is an error.
func TestProject(t *testing.T) {
	rule := Rule{
		Sources: []*Source{{Name: "x", Fields: []Field{{Name: "a"}, {Name: "b"}, {Name: "c"}}}},
		Select:  Select{Param: "fields"},
	}.Ready()
	for _, test := range []struct{ names, whole, want string }{
		{"x", `{"a":1}`, `{"a":1}`},
		{"x.a", `{"a":1,"b":2,"c":3}`, `{"a":1}`},
		{"x.c,x.a", `{"a":"\\\",","b":[{"b":[]},"]"],"c":{"c":{}}}`, `{"a":"\\\",","c":{"c":{}}}`},
		{"x.b", `{"a":1,"b":2}`, ""},
		{"x.b", `{"a":1,"b":2,"c":3`, ""},
		{"x.b", `{"a":1,"b":"2`, ""},
		{"x.b", "", ""},
	} {
		narrowed, _, _ := rule.Narrow("/?fields=" + test.names)
		got, err := narrowed.Sources[0].Project([]byte(test.whole))
		if string(got) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s of %s: %s, %v; want %s", test.names, test.whole, got, err, test.want)
		}
	}
}
