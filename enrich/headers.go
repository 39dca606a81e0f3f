package enrich

// Headers is a change of a message's headers: names in lower case, Remove first, then Set.
type Headers struct {
	Remove []string
	Set    []Header
}

// Header is one header field.
type Header struct{ Name, Value string }

// LegacyRequest returns how the request for a core differs from the client's: it asks for identity encoding, and has no
// ranges and conditions, since these are about the legacy body and not the answer (RFC 9110, sections 12.5.3, 13.1 and
// 14.2). A request that may change something keeps its conditions.
func LegacyRequest(method string) Headers {
	if !isRead(method) {
		return Headers{Set: legacyRequest.Set}
	}
	return legacyRequest
}

// legacyRequest is never changed.
var legacyRequest = Headers{ //nolint:gochecknoglobals // allocated once
	Remove: []string{"range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"},
	Set:    []Header{{"accept-encoding", "identity"}},
}

// legacyBodyHeaderNames returns the response headers that describe the bytes of the legacy body, and not those of an
// answer (RFC 9110, section 8; RFC 9530; RFC 1864).
func legacyBodyHeaderNames() []string {
	return legacyBodyHeaders[:len(legacyBodyHeaders):len(legacyBodyHeaders)]
}

// legacyBodyHeaders is never changed.
var legacyBodyHeaders = []string{ //nolint:gochecknoglobals // allocated once
	"content-encoding", "etag", "last-modified", "accept-ranges",
	"content-md5", "digest", "content-digest", "repr-digest",
}

// Headers returns how the headers of an answer differ from those of the legacy response. A degraded answer must not be
// cached.
func (a Answer) Headers() Headers {
	h := Headers{Remove: legacyBodyHeaderNames(), Set: []Header{a.Outcome.Header()}}
	if a.Type != "" {
		h.Set = append(h.Set, Header{"content-type", a.Type})
	}
	if a.ETag != "" {
		h.Set = append(h.Set, Header{"etag", a.ETag})
	}
	if a.Outcome.Disposition == Degraded {
		h.Set = append(h.Set, Header{"cache-control", "no-store"})
	}
	return h
}

// HeadHeaders returns how the headers of a HEAD's response differ from those of the legacy service if weft would
// compose the GET's: none describe the body, which weft would have to make for that (RFC 9110, section 9.3.2 allows
// this).
func HeadHeaders() Headers {
	outcome := Outcome{Disposition: Passed, Reason: HeadRequest}
	return Headers{Remove: append(legacyBodyHeaderNames(), "content-length"), Set: []Header{outcome.Header()}}
}

// PassHeaders returns the headers that are added to a response that passes.
func PassHeaders(reason Reason) Headers {
	return Headers{Set: []Header{Outcome{Disposition: Passed, Reason: reason}.Header()}}
}

// OutcomeHeader is the response header in which weft says what it did. Only weft sets headers that begin with it.
const OutcomeHeader = "x-weft"

// Header returns the x-weft header, for the client and the access log.
func (o Outcome) Header() Header { return Header{OutcomeHeader, o.String()} }
