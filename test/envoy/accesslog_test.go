package envoy_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"weft/internal/rulesfile"
	"weft/test/harness"
)

// TestAccessLog: Envoy's access log has weft's outcome and how long the legacy service, MongoDB and weft took. For
// browsers, the header server-timing has that, too.
func TestAccessLog(t *testing.T) {
	whole := withLength(coreUser7, "server-timing: db;dur=1\r\ncontent-type: application/json\r\n")
	const ms = `\d+(\.\d+)?`
	const times = ` legacy_ms=` + ms + ` mongodb_ms=` + ms + ` added_ms=` + ms
	rules := rulesfile.Builtin().Rules
	rules[0].StreamLarge = true
	rules[0].CoreLimit = 1000
	long := `{"userId":7,"username":"` + strings.Repeat("u", 2000) + `","email":"e","createdAt":"c"}`
	tests := []struct {
		name, path, legacy string
		log, timing        string // patterns
	}{
		{
			"composed", "/api/v1/users/7", whole,
			` weft="composed" rule=user` + times + ` request=[0-9a-f-]{36} trace=-$`,
			`^db;dur=1, legacy;dur=` + ms + `, mongodb;dur=` + ms + `, weft;dur=` + ms + `$`,
		},
		{
			"passed", "/api/v1/users/7", "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
			` weft="passed; reason=client-error" rule=user legacy_ms=` + ms + ` mongodb_ms=- added_ms=` + ms + ` `, `^$`,
		},
		{
			"no body", "/api/v3/composite-profile/7", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
			` weft="degraded; reason=core-not-found" rule=composite-profile` + times + ` `,
			`^legacy;dur=` + ms + `, mongodb;dur=` + ms + `, weft;dur=` + ms + `$`,
		},
		{
			"a large error page", "/api/v3/composite-profile/7",
			"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 1200000\r\n\r\n" + strings.Repeat(" ", 1_200_000),
			` weft="degraded; reason=legacy-error" rule=composite-profile` + times + ` `,
			`^legacy;dur=` + ms + `, mongodb;dur=` + ms + `, weft;dur=` + ms + `$`,
		},
		{
			"streamed", "/api/v1/users/7", withLength(long, ""),
			` weft="streamed" rule=user` + times + ` `, `^$`,
		},
		{"no rule", "/other", whole, ` weft="-" rule=- legacy_ms=- mongodb_ms=- added_ms=- `, `^db;dur=1$`},
	}
	s := startSystem(t, systemOptions{rules: rules})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			legacyPath := strings.ReplaceAll(test.path, "/api/v3/composite-profile/", "/api/v1/users/")
			s.legacy.answer(legacyPath, raw(test.legacy))
			before := len(accessLines(t, s.Envoy))
			got := s.get(t, test.path)
			timing := strings.Join(got.Header.Values("server-timing"), ", ")
			if !regexp.MustCompile(test.timing).MatchString(timing) {
				t.Errorf("server-timing %q, want %s", timing, test.timing)
			}
			var lines []string
			for len(lines) <= before { // Envoy writes it after the response
				if err := t.Context().Err(); err != nil {
					t.Fatal(err)
				}
				lines = accessLines(t, s.Envoy)
			}
			if line := lines[before]; !regexp.MustCompile(test.log).MatchString(line) {
				t.Errorf("the access log has\n%s\nwant\n%s", line, test.log)
			}
		})
	}
}

// accessLines returns the complete lines of Envoy's access log.
func accessLines(t *testing.T, e *harness.Envoy) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(e.Log())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, ` weft="`) && strings.HasSuffix(line, "\n") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}
