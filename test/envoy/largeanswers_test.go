package envoy_test

import (
	"net/http"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// TestLargestDocument: a composite may have the largest document that MongoDB stores, 16 MB.
func TestLargestDocument(t *testing.T) {
	s := startSystem(t, systemOptions{})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	want := checkLargestDocument(t, s)
	// If the legacy response has a known length, Envoy would buffer the answer, too. The first one shows that it is too
	// large.
	s.legacy.answer("/api/v1/users/7", raw(withLength(coreUser7, "")))
	for _, route := range routes {
		got := s.get(t, route.path+"/7")
		checkAnswer(t, "200\nx-weft: degraded; reason=answer-too-large\n\n"+degradedUser7, "", got)
		for range 5 {
			checkAnswer(t, want, "", s.get(t, route.path+"/7"))
		}
	}
}

// checkLargestDocument stores the largest document of user 7, and returns the composite.
func checkLargestDocument(t *testing.T, s *system) (want string) {
	t.Helper()
	settings := `{"a":"` + strings.Repeat("x", 16<<20-200) + `"}`
	var doc bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(`{"userId":7,"customSettings":`+settings+`}`), false, &doc); err != nil {
		t.Fatal(err)
	}
	s.setProfiles(doc)
	want = "200\nx-weft: composed\n\n" +
		`{"core":` + coreUser7 + `,"extension":{"userId":7,"tags":[],"lastActivityScore":0.0,"customSettings":` +
		settings + `},"errors":[]}`
	for _, route := range routes {
		for _, p := range []protocol{http1, http2} {
			req := s.newRequest(t, http.MethodGet, route.path+"/7")
			checkAnswer(t, want, "", do(t, p, req))
		}
	}
	return want
}

// largeAnswers are sizes of documents in KiB.
var largeAnswers = []int{1000, 1086, 1087, 1088, 1089, 1500, 4000}

// TestLargeAnswers: answers below and above the size of Envoy's buffer, 1 MiB and 64 KiB, arrive. The first one above
// it is without the extension.
func TestLargeAnswers(t *testing.T) {
	for _, kib := range largeAnswers {
		s := startSystem(t, systemOptions{})
		checkLargeAnswers(t, s, kib, kib < 1088)
	}
}

// checkLargeAnswers sends answers with a document of some KiB. If isWhole is false, the first one is without it.
func checkLargeAnswers(t *testing.T, s *system, kib int, isWhole bool) {
	t.Helper()
	s.legacy.answer("/api/v1/users/7", raw(withLength(coreUser7, "")))
	settings := strings.Repeat("x", kib<<10)
	var docs []bson.Raw
	for id := 7; id <= 9; id++ {
		doc, err := bson.Marshal(bson.M{"userId": id, "customSettings": bson.M{"a": settings}})
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	s.setProfiles(docs...)
	s.legacy.answer("/api/v1/users/8", raw("HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops"))
	s.legacy.answer("/api/v1/users/9", raw("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"))
	for i := range 6 {
		for _, failed := range []string{"8", "9"} {
			got := s.get(t, "/api/v1/users/"+failed)
			if !strings.HasPrefix(got.Body, `{"core":null,"extension":{"userId":`) || !strings.Contains(got.Body, settings) {
				t.Errorf("%d KiB without a core: %d %.100s", kib, got.Status, got.Body)
			}
		}
		got := s.get(t, "/api/v1/users/7")
		if !strings.HasPrefix(got.Body, `{"core":`+coreUser7) || got.Status != http.StatusOK {
			t.Errorf("%d KiB: %d %.100s", kib, got.Status, got.Body)
		}
		if whole := strings.Contains(got.Body, settings); whole != (i > 0 || isWhole) {
			t.Errorf("%d KiB, answer %d: %s, %d bytes", kib, i, got.Header.Get("x-weft"), len(got.Body))
		}
	}
}
