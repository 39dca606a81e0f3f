package envoy_test

import (
	"strings"
	"testing"

	"weft/envoy"
)

// TestPreserveCase: with Config.PreserveCase, header names are spelled at the legacy service and at the client as their
// sender spells them, with and without a rule.
func TestPreserveCase(t *testing.T) {
	legacy := startRecorder(t)
	s := startSystem(t, systemOptions{
		config: func(c *envoy.Config) { c.Legacy, c.PreserveCase = legacy.addr, true },
	})
	for path, weft := range map[string]string{"/page": "", "/api/v1/users/7": "composed"} {
		c := &corpusCase{
			protocol: "1.1",
			request: &corpusMessage{
				first:  "GET " + path + " HTTP/1.1",
				fields: []string{"Host: legacy.example", "X-ODD-Name: 1", "SOAPAction: x", "x-low: 1"},
			},
			response: &corpusMessage{
				first:  "HTTP/1.1 200 OK",
				fields: []string{"Content-Type: application/json", "X-SessionID: 1", "Transfer-Encoding: chunked"},
				body:   []byte(coreUser7),
			},
		}
		r := c.run(t, legacy, strings.TrimPrefix(s.URL, "http://"))
		for key, want := range map[string]string{
			"request header names":   "Host SOAPAction X-ODD-Name",
			"response header names":  "Content-Type Transfer-Encoding X-SessionID",
			"response header x-weft": weft,
		} {
			if r[key] != want {
				t.Errorf("%s: %s %q, want %q", path, key, r[key], want)
			}
		}
	}
}
