package envoy_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// TestListIsOneRead: a list of 1,000 elements is one find command, and the elements keep their bytes and their order.
func TestListIsOneRead(t *testing.T) {
	var finds atomic.Int64
	proxy := startMongoProxy(t, func() { finds.Add(1) })
	rules := parseRules(t, `version: 1
rules:
  - name: users
    match: {path: /users}
    core: {list: /page/users}
    shape: merge
    extensions:
      profile:
        {database: d, collection: c, where: {userId: {core: id, type: int64}}, fields: {n: {type: int64, default: -1}}}
`)
	s := startSystem(t, systemOptions{rules: rules, mongodbURI: proxy})
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
