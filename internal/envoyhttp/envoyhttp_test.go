package envoyhttp

import "testing"

func TestRequestHeadersIfNoneMatch(t *testing.T) {
	type headers [][2]string
	for _, test := range []struct {
		name, method, want string
		headers            headers
	}{
		{"repeated", "GET", `"a", "b"`, headers{{"if-none-match", `"a"`}, {"if-none-match", `"b"`}}},
		{"moved by Envoy's configuration", "GET", `"a"`, headers{{IfNoneMatchHeader, `"a"`}}},
		{"forged", "GET", `"a"`, headers{{IfNoneMatchHeader, "*"}, {"if-none-match", `"a"`}}},
		{"forged, after it", "GET", `"a"`, headers{{"if-none-match", `"a"`}, {IfNoneMatchHeader, "*"}}},
		{"of another method", "PUT", "", headers{{"if-none-match", "*"}, {IfNoneMatchHeader, "*"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var h RequestHeaders
			h.Add(":method", []byte(test.method))
			for _, header := range test.headers {
				h.Add(header[0], []byte(header[1]))
			}
			if got := h.Request().IfNoneMatch; got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
