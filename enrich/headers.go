package enrich

// Headers is a change of a message's headers: names in lower case, Remove first, then Set.
type Headers struct {
	Remove []string
	Set    []Header
}

// Header is one header field.
type Header struct{ Name, Value string }

// LegacyRequest is how the request for a core differs from the client's: whole, in no content encoding, and under no
// condition, since the legacy service's validators and ranges are those of half an answer (RFC 9110, sections 12.5.3,
// 13.1 and 14.2). The conditions of a request that may change something stay: they guard the change.
func LegacyRequest(method string) Headers {
	if !isRead(method) {
		return Headers{Set: legacyRequest.Set}
	}
	return legacyRequest
}

// legacyRequest is never changed.
var legacyRequest = Headers{ //nolint:gochecknoglobals // made once, and not for each exchange
	Remove: []string{"range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"},
	Set:    []Header{{"accept-encoding", "identity"}},
}

// describeLegacyBody are the response headers that say something of the legacy body's bytes, which are not those of a
// composite (RFC 9110, section 8; RFC 9530; RFC 1864).
func describeLegacyBody() []string {
	return legacyBodyHeaders[:len(legacyBodyHeaders):len(legacyBodyHeaders)]
}

// legacyBodyHeaders is never changed.
var legacyBodyHeaders = []string{ //nolint:gochecknoglobals // made once, and not for each exchange
	"content-encoding", "etag", "last-modified", "accept-ranges",
	"content-md5", "digest", "content-digest", "repr-digest",
}

// Headers is how the head of an answer differs from the legacy response's. What described the legacy body goes, and
// a degraded answer is not to be cached.
func (a Answer) Headers() Headers {
	h := Headers{Remove: describeLegacyBody(), Set: []Header{{"content-type", "application/json"}, a.Outcome.Header()}}
	if a.ETag != "" {
		h.Set = append(h.Set, Header{"etag", a.ETag})
	}
	if a.Outcome.Disposition == Degraded {
		h.Set = append(h.Set, Header{"cache-control", "no-store"})
	}
	return h
}

// HeadHeaders is how the response to a HEAD differs from the legacy service's when the GET would be answered with a
// composite: nothing is said of a body that weft would have to make to know it (RFC 9110, section 9.3.2 allows that).
func HeadHeaders() Headers {
	outcome := Outcome{Disposition: Passed, Reason: HeadRequest}
	return Headers{Remove: append(describeLegacyBody(), "content-length"), Set: []Header{outcome.Header()}}
}

// PassHeaders is how a response that passes is marked.
func PassHeaders(reason Reason) Headers {
	return Headers{Set: []Header{Outcome{Disposition: Passed, Reason: reason}.Header()}}
}

// OutcomeHeader is the response header in which weft says what it did. Headers that begin with it are weft's alone.
const OutcomeHeader = "x-weft"

// Header tells the client and the access log what became of a response.
func (o Outcome) Header() Header { return Header{OutcomeHeader, o.String()} }
