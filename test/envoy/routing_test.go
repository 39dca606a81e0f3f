package envoy_test

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// TestRouting: Envoy and weft select the same rule, if rules differ in host, query, method or type of a parameter.
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
    match:
      path: "/organizations/{_organization:uuid}/departments-and-subsidiaries/\
        {_department:uuid}/things/{id:objectid}/current-version"
    legacy_path: /internal/{id}
    extensions: *thing
`)
	s := startSystem(t, systemOptions{rules: rules})
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
		{Key: "key", Value: bson.Binary{
			Subtype: bson.TypeBinaryUUID, Data: []byte("\x01\x95\xb4\xa0\x00\x00\x70\x00\x80\x00\x01\x23\x45\x67\x89\xab"),
		}},
		{Key: "v", Value: "thing by UUID"},
	}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/internal/a", "/internal/" + id, "/things/a", "/things/" + uuid, "/things/" + strings.ToUpper(uuid),
		"/things/" + id + ".json", "/things/" + strings.ToUpper(id) + ".json", "/things/%7B%22$gt%22:1%7D",
	} {
		s.legacy.answer(path, raw(withLength(`{"n":1}`, "")))
	}
	s.legacy.answer("/internal/"+strings.ToUpper(id), raw(withLength(`{"n":2}`, ""))) // gets the client's spelling
	s.legacy.answer("/things/0123456789abcdef01234567.json", raw("HTTP/1.1 500 X\r\ncontent-length: 8\r\n\r\nnot done"))

	for _, test := range []struct{ method, host, path, want string }{
		{"GET", "north.shop.example", "/things/a?tenant=5", `{"n":1,"tenant":{"v":"tenant 5"},"thing":{"v":"thing a"}}`},
		{
			"GET", "north.shop.example:8080", "/things/a?x=1&tenant=5",
			`{"n":1,"tenant":{"v":"tenant 5"},"thing":{"v":"thing a"}}`,
		},
		{"GET", "shop.example", "/things/a?tenant=5", `{"n":1}`},
		{"GET", "other.example", "/things/a?tenant=5", `{"n":1}`},
		{"GET", "north.shop.example", "/things/a", `{"n":1}`},
		{"GET", "north.shop.example", "/things/a?tenant=5&tenant=6", `{"n":1}`},
		{"GET", "north.shop.example", "/things/a?tenant=05", `{"n":1}`},
		{"GET", "north.shop.example", "/things/a?tenant[$gt]=0", `{"n":1}`},
		{"GET", "other.example", "/things/" + uuid + "?view=full", `{"n":1,"thing":{"v":"thing by UUID"}}`},
		{"GET", "north.shop.example", "/things/" + uuid + "?view=full", `{"n":1,"thing":{"v":"thing by UUID"}}`},
		{"GET", "other.example", "/things/" + uuid + "?view=short", `{"n":1}`},
		{"GET", "other.example", "/things/" + strings.ToUpper(uuid) + "?view=full", `{"n":1,"thing":{"v":"thing by UUID"}}`},
		{
			"GET", "x", "/things/" + strings.ToUpper(id) + ".json",
			`{"core":{"n":1},"thing":{"v":"thing by ObjectId"},"errors":[]}`,
		},
		{"GET", "other.example", "/things/%7B%22$gt%22:1%7D?view=full", `{"n":1}`},
		{"GET", "x", "/things/" + id + ".json", `{"core":{"n":1},"thing":{"v":"thing by ObjectId"},"errors":[]}`},
		{"POST", "x", "/things/" + id + ".json", `{"n":1,"thing":{"v":"thing by ObjectId"}}`},
		{
			"GET", "x", "/organizations/" + strings.ToUpper(uuid) + "/departments-and-subsidiaries/" + uuid + "/things/" +
				strings.ToUpper(id) + "/current-version", `{"core":{"n":2},"thing":{"v":"thing by ObjectId"},"errors":[]}`,
		},
		{"PUT", "x", "/things/" + id + ".json", `{"n":1}`},
		{
			"GET", "x", "/organizations/" + uuid + "/departments-and-subsidiaries/" + uuid +
				"/things/" + id + "/current-version",
			`{"core":{"n":1},"thing":{"v":"thing by ObjectId"},"errors":[]}`,
		},
		{"POST", "x", "/things/0123456789abcdef01234567.json", "not done"},
		{"GET", "x", "/things/0123456789abcdef01234567.json", "not done"}, // degrade: never
	} {
		t.Run(test.method+" "+test.host+test.path, func(t *testing.T) {
			for _, p := range []protocol{http1, http2} {
				req := s.newRequest(t, test.method, test.path)
				req.Host = test.host
				if got := do(t, p, req); got.Body != test.want {
					t.Errorf("\n got %d %s\nwant %s", got.Status, got.Body, test.want)
				}
			}
		})
	}
	s.checkIdle(t)
}
