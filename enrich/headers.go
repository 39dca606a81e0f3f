package enrich

import "slices"

// Headers is a header mutation: Remove applies before Set. Names are in lower case.
type Headers struct {
	Remove []string
	Set    []Header
}

// Header is one header field.
type Header struct{ Name, Value string }

// LegacyRequest returns the header mutation for a request to the legacy service. It requests identity encoding, and
// removes ranges and conditions of safe requests, because they apply to the composed response (RFC 9110, sections
// 12.5.3, 13.1 and 14.2). target is the new path and query; empty if they do not change.
func LegacyRequest(method, target string) Headers {
	h := legacyRequest
	if !isRead(method) {
		h.Remove = nil
	}
	if target != "" {
		h.Set = slices.Concat(h.Set, []Header{{":path", target}})
	}
	return h
}

// With returns h with more headers to set.
func (h Headers) With(set []Header) Headers {
	if len(set) > 0 {
		h.Set = slices.Concat(h.Set, set)
	}
	return h
}

// legacyRequest is never changed.
var legacyRequest = Headers{ //nolint:gochecknoglobals // allocated once
	Remove: []string{"range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"},
	Set:    []Header{{"accept-encoding", "identity"}},
}

// legacyBodyHeaders are the names of response headers that describe the bytes of the legacy body, and so are wrong for
// a composed one (RFC 9110, section 8; RFC 9530; RFC 1864). It is never changed.
var legacyBodyHeaders = []string{ //nolint:gochecknoglobals // allocated once
	"content-encoding", "etag", "last-modified", "accept-ranges",
	"content-md5", "digest", "content-digest", "repr-digest",
}

// Headers returns the mutation of the legacy response headers. It forbids caching of degraded responses.
func (a Answer) Headers() Headers {
	h := Headers{Remove: legacyBodyHeaders, Set: []Header{a.Outcome.Header()}}
	if a.Type != "" {
		h.Set = append(h.Set, Header{"content-type", a.Type})
	}
	if a.ETag != "" {
		h.Set = append(h.Set, Header{"etag", a.ETag})
	}
	if a.Outcome.Disposition == Degraded {
		h.Set = append(h.Set, Header{"cache-control", "no-store"})
	}
	for _, field := range a.Fields {
		if !slices.ContainsFunc(h.Set, func(set Header) bool { return set.Name == field.Name }) {
			h.Set = append(h.Set, field)
		}
	}
	return h
}

// HeadHeaders returns the mutation of the legacy response headers for HEAD if weft would compose the response to GET.
// It removes headers that describe the body, which weft would have to compose for that (allowed by RFC 9110, section
// 9.3.2).
func (r *Rule) HeadHeaders() Headers {
	h := PassHeaders(HeadRequest)
	h.Remove = append(legacyBodyHeaders, "content-length")
	if r.shape().object == nil {
		h.Set = append(h.Set, Header{"content-type", r.ContentType})
	}
	return h
}

// PassHeaders returns the header mutation for a response that passes.
func PassHeaders(reason Reason) Headers {
	return Headers{Set: []Header{Outcome{Disposition: Passed, Reason: reason}.Header()}}
}

// OutcomeHeader is the response header with the outcome. Only weft sets headers that begin with it.
const OutcomeHeader = "x-weft"

// Header returns the x-weft header, for the client and the access log.
func (o Outcome) Header() Header { return Header{OutcomeHeader, o.String()} }
