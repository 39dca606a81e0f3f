package envoy_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
	"weft/internal/rulesfile"
)

// parseRules reads rules whose documents are those of the system under test.
func parseRules(t *testing.T, text string) []*enrich.Rule {
	t.Helper()
	f, err := rulesfile.Parse("rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f.Rules
}

// TestRouting has rules that differ in host, query, method and type of parameter. Envoy and weft agree which is whose.
func TestRouting(t *testing.T) {
	rules := parseRules(t, `version: 1
rules:
  - name: tenant
    match: {path: "/things/{id:string}", host: "*.shop.example", query: {tenant: {type: int64}}}
    legacy_path: /internal/{id}
    shape: merge
    extensions: &joined
      tenant: {database: d, collection: c, where: {key: {param: tenant}}, fields: {v: {type: string, default: none}}}
      thing: {database: d, collection: c, where: {key: {param: id}}, fields: {v: {type: string, default: none}}}
  - name: full
    match: {path: "/things/{id:uuid}", query: {view: {value: full}}}
    shape: merge
    extensions: &thing
      thing: {database: d, collection: c, where: {key: {param: id}}, fields: {v: {type: string, default: none}}}
  - name: create
    match: {path: "/things/{id:objectid}.json", methods: [POST]}
    shape: merge
    extensions: *thing
  - name: read
    match: {path: "/things/{id:objectid}.json"}
    extensions: *thing
  - name: long
    match: {path: "/organizations/{_organization:uuid}/departments-and-subsidiaries/{_department:uuid}/things/{id:objectid}/current-version"}
    legacy_path: /internal/{id}
    extensions: *thing
`)
	s := startSystem(t, systemOptions{rules: rules})
	for _, r := range rules {
		for _, src := range r.Sources {
			src.Database, src.Collection = s.profiles.Database().Name(), s.profiles.Name()
		}
	}
	const uuid, id = "0195b4a0-0000-7000-8000-0123456789ab", "5f1d7a2b3c4d5e6f708192a3"
	oid, err := bson.ObjectIDFromHex(id)
	if err != nil {
		t.Fatal(err)
	}
	for key, v := range map[any]string{
		"a": "thing a", int64(5): "tenant 5", oid: "thing by ObjectId", `{"$gt":""}`: "never found",
	} {
		if _, err := s.profiles.InsertOne(t.Context(), bson.D{{Key: "key", Value: key}, {Key: "v", Value: v}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.profiles.InsertOne(t.Context(), bson.D{
		{Key: "key", Value: bson.Binary{Subtype: bson.TypeBinaryUUID, Data: []byte("\x01\x95\xb4\xa0\x00\x00\x70\x00\x80\x00\x01\x23\x45\x67\x89\xab")}},
		{Key: "v", Value: "thing by UUID"},
	}); err != nil {
		t.Fatal(err)
	}
	body := func(status int, path, body string) {
		s.legacy.answer(path, raw(fmt.Sprintf("HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s", status, len(body), body)))
	}
	for _, path := range []string{"/internal/a", "/things/a", "/things/" + uuid, "/things/" + strings.ToUpper(uuid), "/things/" + id + ".json", "/things/%7B%22$gt%22:1%7D", "/internal/" + id} {
		body(200, path, `{"n":1}`)
	}
	body(500, "/things/0123456789abcdef01234567.json", "not done")

	for _, test := range []struct{ method, host, path, want string }{
		{"GET", "north.shop.example", "/things/a?tenant=5", `{"n":1,"tenant":{"v":"tenant 5"},"thing":{"v":"thing a"}}`},
		{"GET", "north.shop.example:8080", "/things/a?x=1&tenant=5", `{"n":1,"tenant":{"v":"tenant 5"},"thing":{"v":"thing a"}}`},
		{"GET", "shop.example", "/things/a?tenant=5", `{"n":1}`},
		{"GET", "other.example", "/things/a?tenant=5", `{"n":1}`},
		{"GET", "north.shop.example", "/things/a", `{"n":1}`},
		{"GET", "north.shop.example", "/things/a?tenant=5&tenant=6", `{"n":1}`},
		{"GET", "north.shop.example", "/things/a?tenant=05", `{"n":1}`},
		{"GET", "north.shop.example", "/things/a?tenant[$gt]=0", `{"n":1}`},
		{"GET", "other.example", "/things/" + uuid + "?view=full", `{"n":1,"thing":{"v":"thing by UUID"}}`},
		{"GET", "north.shop.example", "/things/" + uuid + "?view=full", `{"n":1,"thing":{"v":"thing by UUID"}}`},
		{"GET", "other.example", "/things/" + uuid + "?view=short", `{"n":1}`},
		{"GET", "other.example", "/things/" + strings.ToUpper(uuid) + "?view=full", `{"n":1}`},
		{"GET", "other.example", "/things/%7B%22$gt%22:1%7D?view=full", `{"n":1}`},
		{"GET", "x", "/things/" + id + ".json", `{"core":{"n":1},"thing":{"v":"thing by ObjectId"},"errors":[]}`},
		{"POST", "x", "/things/" + id + ".json", `{"n":1,"thing":{"v":"thing by ObjectId"}}`},
		{"PUT", "x", "/things/" + id + ".json", `{"n":1}`},
		{
			"GET", "x", "/organizations/" + uuid + "/departments-and-subsidiaries/" + uuid + "/things/" + id + "/current-version",
			`{"core":{"n":1},"thing":{"v":"thing by ObjectId"},"errors":[]}`,
		},
		{"POST", "x", "/things/0123456789abcdef01234567.json", "not done"},
		{"GET", "x", "/things/0123456789abcdef01234567.json", "not done"}, // degrade: never
	} {
		t.Run(test.method+" "+test.host+test.path, func(t *testing.T) {
			for _, protocols := range []*http.Protocols{http1(), http2()} {
				req, err := http.NewRequestWithContext(t.Context(), test.method, s.url+test.path, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = test.host
				if got := s.doWith(t, protocols, req); got.body != test.want {
					t.Errorf("\n got %d %s\nwant %s", got.status, got.body, test.want)
				}
			}
		})
	}
	s.checkIdle(t)
}

// TestListOfAThousand: MongoDB is asked once, and the elements keep their bytes and their order.
func TestListOfAThousand(t *testing.T) {
	var finds atomic.Int64
	proxy := startMongoProxy(t, func() { finds.Add(1) })
	rules := parseRules(t, `version: 1
rules:
  - name: users
    match: {path: /users}
    core: {list: /page/users}
    shape: merge
    extensions:
      profile: {database: d, collection: c, where: {userId: {core: id, type: int64}}, fields: {n: {type: int64, default: -1}}}
`)
	s := startSystem(t, systemOptions{rules: rules, mongodbURI: proxy.uri})
	var docs []any
	var list, want []string
	for id := range 1000 {
		list = append(list, fmt.Sprintf(`{ "id": %d.0, "x":"\u00fc"}`, id))
		n := -1
		if id%3 == 0 {
			n = id * 2
			docs = append(docs, bson.D{{Key: "userId", Value: id}, {Key: "n", Value: n}})
		}
		want = append(want, fmt.Sprintf(`{ "id": %d.0, "x":"\u00fc","profile":{"n":%d}}`, id, n))
	}
	if _, err := s.profiles.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	frame := "{\"page\": {\"users\":[\n%s\n]}, \"next\": null}"
	s.legacy.answer("/users", raw(chunked(fmt.Sprintf(frame, strings.Join(list, ",\n")))))
	checkAnswer(t, "200\nx-weft: composed\n\n"+fmt.Sprintf(frame, strings.Join(want, ",\n")), "", s.get(t, "/users"))
	if finds.Load() != 1 {
		t.Errorf("%d find commands", finds.Load())
	}
}
