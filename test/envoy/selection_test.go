package envoy_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	userprofile "weft/examples/user-profile"
)

// selectingRules returns the built-in rules with field selection: v1 rejects unknown names, v3 ignores them.
func selectingRules() string {
	const v1, v3 = "  - name: user\n", "  - name: composite-profile\n"
	return strings.NewReplacer(
		v1, v1+"    select: {param: fields}\n", v3, v3+"    select: {param: fields, unknown: ignore}\n",
	).Replace(string(userprofile.Rules))
}

// TestSelection replays testdata/selection, as TestCases does, with rules that allow clients to select members.
func TestSelection(t *testing.T) {
	s := startSystem(t, systemOptions{rules: parseRules(t, selectingRules())})
	replayCases(t, s, "testdata/selection/*.txtar")
	s.checkIdle(t)
}

// TestSelectionInShapes selects from a list, and from an object with two extensions at a pointer. The second rule
// forwards the parameter.
func TestSelectionInShapes(t *testing.T) {
	s := startSystem(t, systemOptions{rules: parseRules(t, `version: 1
rules:
  - name: users
    match: {path: /users}
    core: {list: /users}
    shape: merge
    select: {param: show}
    extensions:
      profile: &profile
        database: d
        collection: c
        where: {userId: {core: id, type: int64}}
        fields: {a: {type: int64, default: -1}, b: {type: string, path: deep.b, default: none}}
  - name: user
    match: {path: "/users/{id:int64}", methods: [GET, POST]}
    legacy_path: /old/{id}
    core: {fields: {/data/id: int64}, verify: {/data/id: id}}
    shape: merge
    merge_at: /data
    select: {param: show, forward: true}
    extensions:
      one: &one {<<: *profile, where: {userId: {param: id}}}
      two: *one
`)})
	docs := []any{
		bson.D{{Key: "userId", Value: 1}, {Key: "a", Value: 11}, {Key: "deep", Value: bson.D{{Key: "b", Value: "x"}}}},
		bson.D{{Key: "userId", Value: 2}, {Key: "a", Value: "wrong"}},
	}
	if _, err := s.profiles.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	s.legacy.answer("/users", raw(chunked(`{"n":2, "users":[ {"id":1,"name": "a"}, {"name":"b" , "id":2} ]}`)))
	targets := make(chan string, 100)
	answer := raw(withLength(`{"data": { "id" : 1, "name" :"a"}, "v":1}`, ""))
	s.legacy.answer("/old/1", func(conn net.Conn, r *http.Request) bool {
		targets <- r.RequestURI
		return answer(conn, r)
	})
	for _, test := range []struct{ method, target, want string }{
		{
			"GET", "/users?show=name,profile.b",
			`{"n":2, "users":[ {"name": "a","profile":{"b":"x"}}, {"name":"b","profile":{"b":"none"}} ]}`,
		},
		{"GET", "/users?show=id", `{"n":2, "users":[ {"id":1}, {"id":2} ]}`},
		{"GET", "/users/1?show=two.a&x=%2f", `{"data": {"two":{"a":11}}, "v":1}`},
		{"POST", "/users/1?show=name,one.b", `{"data": {"name" :"a","one":{"b":"x"}}, "v":1}`},
		{"GET", "/users/1?show=one&show=two.b", `{"data": {"one":{"a":11,"b":"x"},"two":{"b":"x"}}, "v":1}`},
	} {
		for _, p := range []protocol{http1, http2} {
			if got := do(t, p, s.newRequest(t, test.method, test.target)); got.Body != test.want {
				t.Errorf("%s %s\n got %d %s\nwant %s", test.method, test.target, got.Status, got.Body, test.want)
			}
		}
	}
	if got := <-targets; got != "/old/1?show=two.a&x=%2f" {
		t.Errorf("the legacy service got %s", got)
	}
	before := len(targets)
	got := s.get(t, "/users/1?show=one,three.a")
	if got.Status != 400 || !strings.Contains(got.Body, `"unknown":["three.a"]`) {
		t.Errorf("unknown: %d %s", got.Status, got.Body)
	}
	if len(targets) != before {
		t.Error("the legacy service got a request that was rejected")
	}
	s.checkIdle(t)
}

// TestSelectionWithoutWeft: the fallback does not select, and does not change the response to a rejected request.
func TestSelectionWithoutWeft(t *testing.T) {
	rules := strings.ReplaceAll(selectingRules(), ", unknown: ignore", "")
	s := startSystem(t, systemOptions{rules: parseRules(t, rules)})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	const path = "/api/v3/composite-profile/7"
	got := s.get(t, path+"?fields=tags")
	if got.Status != 400 || got.Header.Get("x-weft") != "rejected; reason=unknown-member" {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
	checkAnswer(t, "200\nx-weft: composed\n\n"+`{"extension":{"tags":[]},"errors":[]}`, "",
		s.get(t, path+"?fields=extension.tags"))
	s.weft.Stop()
	checkAnswer(t, "200\nx-weft: degraded; reason=weft-unavailable\n\n"+
		`{"core":`+coreUser7+`,"extension":null,"errors":["Failed to fetch extended user profile."]}`, "",
		s.get(t, path+"?fields=extension.tags"))
}
