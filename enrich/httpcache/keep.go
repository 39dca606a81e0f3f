package httpcache

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Keep returns resp as it may be kept, or why it may not (RFC 9111, section 3). isParty says that only one caller has
// the key of the response, so that the caller's credentials do not forbid it.
func Keep(req Request, resp Response, isParty bool) (kept Response, why string) {
	kept = resp
	kept.IsParty = isParty
	kept.Header = keptFields(resp.Header)
	kept.Vary = nil
	cc := parseDirectives(resp.Header["Cache-Control"])
	vary := fieldNames(resp.Header["Vary"])
	switch {
	case req.Method != http.MethodGet:
		return kept, "the method is not GET"
	case resp.Status != http.StatusOK:
		return kept, "the status is not 200"
	case requestDirectives(req.Header).has("no-store"):
		return kept, "the request has no-store"
	case cc.has("no-store") && !cc.has("must-understand"): // 200 is understood (section 5.2.2.3)
		return kept, "the response has no-store"
	case cc.hasUnqualified("private"): // section 5.2.2.7
		return kept, "the response has private"
	case slices.Contains(vary, "*"):
		return kept, "vary is *"
	case slices.ContainsFunc(vary, req.hides):
		return kept, "vary names a field whose value is not known"
	case req.HasCredentials && !kept.allowsCredentials():
		return kept, "the request has credentials"
	}
	kept.Vary = make(http.Header, len(vary))
	for _, name := range vary {
		kept.Vary[name] = normalized(req.Header[name])
	}
	return kept, ""
}

// allowsCredentials reports whether r may be kept for or used by a request with credentials (RFC 9111, section 3.5).
func (r Response) allowsCredentials() bool {
	cc := parseDirectives(r.Header["Cache-Control"])
	return r.IsParty || cc.has("public") || cc.has("must-revalidate") || cc.has("s-maxage")
}

// Matches reports whether req has the request fields that r depends on (RFC 9111, section 4.1).
func (r Response) Matches(req Request) bool {
	for name, values := range r.Vary {
		if req.hides(name) || !slices.Equal(values, normalized(req.Header[name])) {
			return false
		}
	}
	return true
}

func (req Request) hides(name string) bool { return req.Hidden != nil && req.Hidden(name) }

// normalized returns the values of a request field for a comparison: field lines are combined, and whitespace around
// the members of a list is removed.
func normalized(lines []string) []string { return splitList(lines) }

// fieldNames returns the field names of a list in canonical format.
func fieldNames(lines []string) []string {
	names := splitList(lines)
	for i, name := range names {
		names[i] = http.CanonicalHeaderKey(name)
	}
	return names
}

// connectionFields are for one connection or describe the transfer of a message (RFC 9110, section 7.6.1; RFC 9111,
// section 3.1). Set-Cookie is for one client.
var connectionFields = []string{ //nolint:gochecknoglobals // never changed
	"Connection", "Content-Length", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
	"Proxy-Connection", "Set-Cookie", "Set-Cookie2", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// keptFields returns the fields that may be kept. Those that no-cache and private name are not: a response is used
// without them (RFC 9111, sections 5.2.2.4 and 5.2.2.7).
func keptFields(h http.Header) http.Header {
	kept := h.Clone()
	cc := parseDirectives(h["Cache-Control"])
	for _, names := range [][]string{
		connectionFields, fieldNames(h["Connection"]), cc.fields("no-cache"), cc.fields("private"),
	} {
		for _, name := range names {
			delete(kept, name)
		}
	}
	return kept
}

// Conditions returns the fields of a request that validates r (RFC 9111, section 4.3.1). They are empty if r has no
// validator.
func (r Response) Conditions() http.Header {
	h := http.Header{}
	if etag := r.Header.Get("Etag"); isEntityTag(etag) {
		h.Set("If-None-Match", etag)
	}
	if modified := r.Header.Get("Last-Modified"); modified != "" {
		if _, ok := parseTime(modified); ok {
			h.Set("If-Modified-Since", modified)
		}
	}
	return h
}

// isEntityTag reports whether s is an entity-tag (RFC 9110, section 8.8.3).
func isEntityTag(s string) bool {
	s = strings.TrimPrefix(s, "W/")
	return len(s) >= 2 && s[0] == '"' && strings.IndexByte(s[1:], '"') == len(s)-2
}

// contentFields describe the content that is kept, so that a 304 does not change them (RFC 9111, section 3.2).
var contentFields = []string{ //nolint:gochecknoglobals // never changed
	"Content-Digest", "Content-Encoding", "Content-Length", "Content-Md5", "Content-Range", "Content-Type",
}

// Freshen returns r after the origin answered req, which had r's Conditions, with the 304 confirmed (RFC 9111, section
// 4.3.4). ok is false if the 304 is about another response than r.
func (r Response) Freshen(confirmed Response) (fresh Response, ok bool) {
	for _, validator := range []string{"Etag", "Last-Modified"} {
		if value := confirmed.Header.Get(validator); value != "" {
			if value != r.Header.Get(validator) {
				return r, false
			}
			break
		}
	}
	header := r.Header.Clone()
	header.Del("Age")
	header.Del("Date")
	update := keptFields(confirmed.Header)
	for _, name := range contentFields {
		delete(update, name)
	}
	maps.Copy(header, update)
	fresh = r
	fresh.Header = header
	fresh.Requested, fresh.Received, fresh.IsOutdated = confirmed.Requested, confirmed.Received, false
	return fresh, true
}
