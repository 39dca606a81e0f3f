package cli_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weft/internal/cli"
)

// TestOpenAPIExample: an example is a composed response, byte for byte.
func TestOpenAPIExample(t *testing.T) {
	const body = `{"core": {"userId":7.0, "b":"<é>", "a":1.50e1}, "extension":null, "errors":[]}`
	envoy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-weft", map[string]string{
			"/api/v1/users/7": "composed", "/api/v1/users/8": "degraded; reason=extension-timeout",
		}[r.URL.Path])
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(envoy.Close)
	for path, want := range map[string]string{
		"/api/v1/users/7": "",
		"/api/v1/users/8": `/8: status 200, x-weft: "degraded; reason=extension-timeout"; want a composed response`,
		"/api/v1/users/9": `/9: status 200, x-weft: ""; want a composed response`,
		"/other":          "/other: no rule matches GET /other",
	} {
		var stdout, stderr bytes.Buffer
		code := cli.Run(t.Context(), []string{"weft", "openapi", "--example", envoy.URL + path}, &stdout, &stderr, "")
		switch spaces := strings.NewReplacer("\n", "", " ", ""); {
		case want != "":
			if code != 1 || !strings.Contains(stderr.String(), want) {
				t.Errorf("%s: exit status %d, %s", path, code, stderr.String())
			}
		case code != 0 || !strings.Contains(spaces.Replace(stdout.String()), `"example":`+spaces.Replace(body)):
			t.Errorf("%s: exit status %d, %s%s", path, code, stdout.String(), stderr.String())
		}
	}
}
