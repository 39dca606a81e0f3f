package enrich

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// entityTag returns a strong entity tag for a body (RFC 9110, section 8.8.3).
func entityTag(body []byte) string {
	sum := sha256.Sum256(body)
	tag := base64.RawURLEncoding.AppendEncode(append(make([]byte, 0, 24), '"'), sum[:12])
	return string(append(tag, '"'))
}

// WithConditional returns the answer to a request with an If-None-Match header: 304 without a body if the client has
// the answer already (RFC 9110, section 13.1.2). The legacy service cannot decide this, since it knows the core only.
func (a Answer) WithConditional(ifNoneMatch string) Answer {
	if a.ETag == "" || !matches(ifNoneMatch, a.ETag) {
		return a
	}
	a.Status, a.Body = 304, nil
	return a
}

// matches reports whether a list of entity tags, or "*", contains a tag. The comparison is weak, because a compressor
// between weft and the client may have weakened the tag.
func matches(list, tag string) bool {
	if strings.TrimSpace(list) == "*" {
		return true
	}
	for list != "" {
		list = strings.TrimLeft(list, " \t,")
		list = strings.TrimPrefix(list, "W/")
		rest, ok := strings.CutPrefix(list, `"`)
		if !ok {
			return false
		}
		i := strings.IndexByte(rest, '"')
		if i < 0 {
			return false
		}
		if list[:i+2] == tag {
			return true
		}
		list = rest[i+1:]
	}
	return false
}
