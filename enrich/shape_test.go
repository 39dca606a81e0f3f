package enrich

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// orders returns a rule for a list whose elements have the key.
func orders(shape Shape, list Pointer) *Rule {
	return Rule{
		Name: "orders", Methods: []string{"GET"}, Path: mustTemplate("/orders"), CoreLimit: 1 << 20,
		Shape: shape, List: &list, Members: Members{Core: "core", Errors: "errors"},
		Core: []CoreField{{At: "/id", Type: Int64}},
		Sources: []*Source{{
			Name: "shipment", Failed: "no shipment",
			Where:  []Condition{{Field: "orderId", From: FromCore, At: "/id", Type: Int64}},
			Fields: []Field{{Name: "state", Path: "state", Type: String, Default: `"open"`}},
		}},
	}.Ready()
}

// product returns a rule for an object with two sources, whose keys are nested members.
func product() *Rule {
	return Rule{
		Name: "product", Methods: []string{"GET"}, Path: mustTemplate("/products/{sku:string}"), CoreLimit: 1 << 20,
		Shape: ShapeMerge, MergeAt: "/data", Members: Members{Core: "core", Errors: "errors"},
		Verify: []Verify{{At: "/data/sku"}},
		Sources: []*Source{
			{
				Name: "stock", Failed: "no stock", Where: []Condition{{Field: "sku"}},
				Fields: []Field{{Name: "n", Path: "n", Type: Int64}},
			},
			{
				Name: "reviews", Failed: "no reviews",
				Where: []Condition{{Field: "_id", From: FromCore, At: "/data/review", Type: ObjectID}},
			},
		},
	}.Ready()
}

// byKey returns a Store with an extension for each key; the key bad fails.
func byKey(bad string) Store {
	return storeFunc(func(_ context.Context, keys []Key) []Extension {
		found := make([]Extension, len(keys))
		for i, k := range keys {
			if text := k[len(k)-1].String(); text == bad {
				found[i].Err = errors.New("bad")
			} else {
				found[i].JSON = []byte(fmt.Sprintf(`{"of":%q}`, text))
			}
		}
		return found
	})
}

func compose(t *testing.T, rule *Rule, store Store, params []Value, body string) (Core, Answer) {
	t.Helper()
	core, ok := rule.ParseCore([]byte(body), "")
	if !ok {
		t.Fatalf("%.100q is over the limit", body)
	}
	if core.Failed != "" {
		return core, Answer{}
	}
	read := Fetch(t.Context(), store, rule, params)
	defer read.Stop()
	read.Join(core)
	return core, rule.Compose(params, core, read.Await(core, 0), 1<<20)
}

func TestShapes(t *testing.T) {
	sku := []Value{{Type: String, Text: "A-1"}}
	const review = "0123456789abcdef01234567"
	tests := []struct {
		name   string
		rule   *Rule
		params []Value
		body   string
		want   string // x-weft and body; the reason if the core fails
	}{
		{
			"elements keep their bytes and order", orders(ShapeMerge, ""), nil,
			`[ {"id": 2, "x":1e3} ,{"id":1.0},{"id":2}  ]`,
			`composed [ {"id": 2, "x":1e3,"shipment":{"of":"2"}} ,{"id":1.0,"shipment":{"of":"1"}},` +
				`{"id":2,"shipment":{"of":"2"}}  ]`,
		},
		{"an empty list", orders(ShapeMerge, ""), nil, ` [ ] `, `composed [ ]`},
		{
			"a list inside of an object", orders(ShapeMerge, "/page/items"), nil,
			`{"page":{"n":1,"items":[{"id":1}],"more":false}}`,
			`composed {"page":{"n":1,"items":[{"id":1,"shipment":{"of":"1"}}],"more":false}}`,
		},
		{
			"a list of composites", orders(ShapeComposite, ""), nil, `[{"id":1},{"id":13}]`,
			`degraded; reason=extension-failed [{"core":{"id":1},"shipment":{"of":"1"},"errors":[]},` +
				`{"core":{"id":13},"shipment":null,"errors":["no shipment"]}]`,
		},
		{
			"one of many fails", orders(ShapeMerge, ""), nil, `[{"id":1},{"id":13}]`,
			`degraded; reason=extension-failed [{"id":1,"shipment":{"of":"1"}},` +
				`{"id":13,"shipment":null,"errors":["no shipment"]}]`,
		},
		{"an element that is not an object", orders(ShapeMerge, ""), nil, `[{"id":1},7]`, "core-invalid"},
		{"an element without its member", orders(ShapeMerge, ""), nil, `[{"id":1},{}]`, "core-invalid"},
		{"no list there", orders(ShapeMerge, "/page/items"), nil, `{"page":{}}`, "core-invalid"},
		{"an object for a list", orders(ShapeMerge, ""), nil, `{"id":1}`, "core-invalid"},
		{
			"the last of two lists", orders(ShapeMerge, "/l"), nil, `{"l":[{"id":1}],"l":[{"id":2}]}`,
			`composed {"l":[{"id":1}],"l":[{"id":2,"shipment":{"of":"2"}}]}`,
		},
		{"the last is not a list", orders(ShapeMerge, "/a/l"), nil, `{"a":{"l":[{"id":1}]},"a":{}}`, "core-invalid"},
		{"a member of that name", orders(ShapeMerge, ""), nil, `[{"id":1,"shipment":0}]`, "member-taken"},
		{"errors are a member of that name, too", orders(ShapeMerge, ""), nil, `[{"id":1,"errors":[]}]`, "member-taken"},
		{
			"two sources, deep", product(), sku, `{"data":{"sku":"A-1","review":"` + review + `"},"v":1}`,
			`composed {"data":{"sku":"A-1","review":"` + review + `","stock":{"of":"A-1"},` +
				`"reviews":{"of":"` + review + `"}},"v":1}`,
		},
		{
			"no key: as no document", product(), sku, `{"data":{"sku":"A-1"}}`,
			`composed {"data":{"sku":"A-1","stock":{"of":"A-1"},"reviews":{}}}`,
		},
		{
			"null for a key: the same", product(), sku, `{"data":{"sku":"A-1","review":null}}`,
			`composed {"data":{"sku":"A-1","review":null,"stock":{"of":"A-1"},"reviews":{}}}`,
		},
		{
			"a key of a wrong type", product(), sku, `{"data":{"sku":"A-1","review":7}}`,
			`degraded; reason=extension-invalid {"data":{"sku":"A-1","review":7,"stock":{"of":"A-1"},"reviews":null,` +
				`"errors":["no reviews"]}}`,
		},
		{
			"another key", product(), sku, `{"data":{"sku":"B-2"}}`,
			`degraded; reason=key-mismatch {"data":{"sku":"B-2","stock":null,"reviews":null,` +
				`"errors":["no stock","no reviews"]}}`,
		},
		{"no object to merge with", product(), sku, `{"data":[]}`, "core-invalid"},
		{
			"an empty object", orders(ShapeMerge, "/l"), nil, `{"l":[]}`, `composed {"l":[]}`,
		},
		{
			"the last of two objects", product(), sku, `{"data":{"sku":"B-2","review":1},"data":{ }}`,
			`degraded; reason=key-mismatch {"data":{"sku":"B-2","review":1},"data":{"stock":null,"reviews":null,` +
				`"errors":["no stock","no reviews"] }}`,
		},
	}
	for _, test := range tests {
		core, a := compose(t, test.rule, byKey("13"), test.params, test.body)
		got := string(core.Failed)
		if got == "" {
			got = fmt.Sprintf("%s %s", a.Outcome, a.Body)
		}
		if got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

// TestNewShape adds a shape, as in the comment on shapes, that puts all extensions into one member of the core.
func TestNewShape(t *testing.T) {
	before := shapes
	shapeNested := Shape(len(before))
	t.Cleanup(func() { shapes = before })
	shapes = append(before[:len(before):len(before)], shape{
		name:   "nested",
		sketch: func(r *Rule) string { return fmt.Sprintf("the object with \"joined\": {%s}", r.sketchExtensions()) },
		object: func(*Rule) Pointer { return "" },
		adds:   func(*Rule) []string { return []string{"joined"} },
		members: func(dst []byte, p parts, isEmpty bool) []byte {
			if !isEmpty {
				dst = append(dst, ',')
			}
			return append(p.appendErrors(p.appendExtensions(append(dst, `"joined":{`...), true)), '}')
		},
	})
	if s, ok := ParseShape("nested"); !ok || s != shapeNested {
		t.Fatalf("ParseShape: %d, %t", s, ok)
	}
	rule := orders(shapeNested, "")
	for body, want := range map[string]string{
		`[{"id":1}]`:               `[{"id":1,"joined":{"shipment":{"of":"1"},"errors":[]}}]`,
		`[{"id":13,"shipment":0}]`: `[{"id":13,"shipment":0,"joined":{"shipment":null,"errors":["no shipment"]}}]`,
	} {
		if _, a := compose(t, rule, byKey("13"), nil, body); string(a.Body) != want {
			t.Errorf("%s becomes %s, want %s", body, a.Body, want)
		}
	}
	if core, _ := rule.ParseCore([]byte(`[{"id":1,"joined":0}]`), ""); core.Failed != MemberTaken {
		t.Errorf("a core with that member: %q", core.Failed)
	}
	if rule.AllowsMissingCore() {
		t.Error("the core can be missing")
	}
	want := `the list, each element as the object with "joined": {"shipment": …}`
	if got := rule.Sketch(); got != want {
		t.Errorf("sketch %s, want %s", got, want)
	}
}

// TestListIsReadOnce: a list is one read, with each key once.
func TestListIsReadOnce(t *testing.T) {
	body := "[" + strings.Repeat(`{"id":1},{"id":2},`, 500) + `{"id":3}]`
	var asked [][]Key
	store := storeFunc(func(_ context.Context, keys []Key) []Extension {
		asked = append(asked, keys)
		return make([]Extension, len(keys))
	})
	compose(t, orders(ShapeMerge, ""), store, nil, body)
	if len(asked) != 1 || len(asked[0]) != 3 {
		t.Errorf("keys %v", asked)
	}
}

// FuzzMerge checks that a merged list without the extensions equals the legacy list.
func FuzzMerge(f *testing.F) {
	f.Add([]byte(`[{"id":1},{"id":2,"x":[{}]} ]`), false)
	f.Add([]byte(`{"a":{"l":[{"id":1,"data":{}}]}}`), true)
	f.Add([]byte(`{"a":{"l":[]},"a":{"l":[{"id":3}]}}`), true)
	whole, deep := orders(ShapeMerge, ""), orders(ShapeMerge, "/a/l")
	f.Fuzz(func(t *testing.T, body []byte, isDeep bool) {
		rule := whole
		if isDeep {
			rule = deep
		}
		core, a := compose(t, rule, byKey("13"), nil, string(body))
		if core.Failed != "" {
			return
		}
		before, after := decoded(t, core.JSON), decoded(t, a.Body)
		list := after
		if isDeep {
			list = after.(map[string]any)["a"].(map[string]any)["l"]
		}
		for _, element := range list.([]any) {
			object := element.(map[string]any)
			if _, ok := object["shipment"]; !ok {
				t.Fatalf("an element of %q has no extension", a.Body)
			}
			delete(object, "shipment")
			delete(object, "errors")
		}
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%q becomes %q", core.JSON, a.Body)
		}
		if rest := bytes.ReplaceAll(a.Body, []byte(`"shipment"`), nil); len(rest) < len(core.JSON) {
			t.Fatalf("%q becomes %q", core.JSON, a.Body)
		}
	})
}

func decoded(t *testing.T, text []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // a number can exceed all doubles
	if err := d.Decode(&v); err != nil {
		t.Fatalf("encoding/json rejects %q: %v", text, err)
	}
	return v
}

// TestComposeLimit: in each shape, a body that would exceed the limit has no extensions.
func TestComposeLimit(t *testing.T) {
	large := Extension{JSON: []byte(`{"a":"` + strings.Repeat("x", 1000) + `"}`)}
	for name, test := range map[string]struct {
		change func(*Rule)
		core   string
		want   string
	}{
		"composite": {func(*Rule) {}, `{"id":1}`, `{"core":{"id":1},"extension":null,"errors":["no extension"]}`},
		"merge": {
			func(r *Rule) { r.Shape = ShapeMerge },
			`{"id":1}`, `{"id":1,"extension":null,"errors":["no extension"]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			rule := &Rule{
				CoreLimit: 1 << 20, Members: Members{Core: "core", Errors: "errors"},
				Sources: []*Source{{Name: "extension", Failed: "no extension"}},
			}
			test.change(rule)
			rule = rule.Ready()
			core, _ := rule.ParseCore([]byte(test.core), "")
			found := Found{bySource: [][]Extension{{large}}}
			whole := rule.Compose(nil, core, found, 1<<20)
			if whole.Outcome.Disposition != Composed {
				t.Fatalf("%+v", whole)
			}
			if a := rule.Compose(nil, core, found, len(whole.Body)); string(a.Body) != string(whole.Body) {
				t.Errorf("at the limit: %s", a.Body)
			}
			for _, limit := range []int{len(whole.Body) - 1, 1000, 0} {
				a := rule.Compose(nil, core, found, limit)
				if string(a.Body) != test.want || a.Outcome.String() != "degraded; reason=answer-too-large" || a.Status != 0 {
					t.Errorf("limit %d: %d %s %s", limit, a.Status, a.Outcome, a.Body)
				}
			}
		})
	}
}
