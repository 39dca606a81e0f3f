package envoy_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"weft/internal/rulesfile"
)

// TestStreamedCores: if a rule says "large: stream", cores over the limit are streamed into the composite.
func TestStreamedCores(t *testing.T) {
	rules := rulesfile.Builtin().Rules
	for _, r := range rules {
		r.StreamLarge = true
	}
	checkStreamedCores(t, startSystem(t, systemOptions{rules: rules}))
}

// checkStreamedCores sends cores to a system whose rules say "large: stream".
func checkStreamedCores(t *testing.T, s *system) {
	object := `{"userId":7,"username":"u","email":"e","createdAt":"c","padding":"` + strings.Repeat("ü", 5<<19) + `"}`
	extension := `,"extension":{"userId":7,"tags":[],"lastActivityScore":0.0,"customSettings":{}},"errors":[]}`
	other := strings.Replace(object, `"userId":7`, `"userId":8`, 1)
	broken := object[:len(object)-1]
	tests := []struct {
		name, legacy, want string
	}{
		{
			"of known length", withLength(object, "etag: \"x\"\r\n"),
			"200\nx-weft: streamed\netag: -\ncontent-length: -\ncache-control: no-store\n\n" + `{"core":` + object + extension,
		},
		{
			"of unknown length", chunked(object),
			"200\nx-weft: streamed\n\n" + `{"core":` + object + extension,
		},
		{
			"a small one of unknown length, a byte a chunk", chunked(strings.Split(coreUser7, "")...),
			"200\nx-weft: streamed\n\n" + `{"core":` + coreUser7 + extension,
		},
		{
			"a small one of known length is not streamed", withLength(coreUser7, ""),
			"200\nx-weft: composed\n\n" + `{"core":` + coreUser7 + extension,
		},
		{
			"of another user", chunked(other),
			"200\nx-weft: streamed\n\n" +
				`{"core":` + other + `,"extension":null,"errors":["Failed to fetch extended user profile."]}`,
		},
		{
			"one that ends too early: the client gets what has come", chunked(broken),
			"200\nx-weft: streamed\n\n" + `{"core":` + broken,
		},
		{
			"after a byte order mark", chunked("\xef\xbb\xbf" + object),
			"200\nx-weft: streamed\n\n" + `{"core":` + object + extension,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.legacy.answer("/api/v1/users/7", raw(test.legacy))
			checkAnswer(t, test.want, "", s.get(t, "/api/v1/users/7"))
		})
	}

	t.Run("a client that disconnects", func(t *testing.T) {
		s.legacy.answer("/api/v1/users/7", func(c net.Conn, r *http.Request) bool {
			return raw(chunked(object)[:1<<20])(c, r) && hang(c)
		})
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("GET /api/v1/users/7 HTTP/1.1\r\nhost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		s.checkIdle(t)
	})
}
