package extproc

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"weft/enrich"
)

// filterName is the key of the attributes in a message, whatever name the filter has in Envoy's configuration.
const filterName = "envoy.filters.http.ext_proc"

// Headers returns the names of the headers that weft reads, or that it would remove or set, and prefixes that some have. Envoy's
// configuration must forward them, and need not forward any more. Where it is not known to do so (see [ConfigHeader]), weft
// has Envoy remove and set whatever there could be.
func Headers() (prefixes, names []string) {
	return []string{":", "content-", "if-", enrich.OutcomeHeader}, []string{
		"accept-encoding", "range",
		"accept-ranges", "cache-control", "digest", "etag", "last-modified", "repr-digest",
		traceParent, requestID,
	}
}

// Attributes returns the names of the response attributes that weft reads.
func Attributes() []string { return []string{codeDetails} }

const codeDetails = "response.code_details"

// IfNoneMatchHeader is the If-None-Match header of a GET whose conditions Envoy's configuration has removed.
const IfNoneMatchHeader = enrich.OutcomeHeader + "-if-none-match"

// request takes what a rule is matched with out of a request_headers message.
func (m *message) request() enrich.Request {
	var req enrich.Request
	for _, h := range m.headers {
		switch string(h.name) {
		case ":method":
			req.Method = string(h.value)
		case ":authority":
			req.Host = string(h.value)
		case ":path":
			req.Path = string(h.value)
		case "if-none-match", IfNoneMatchHeader:
			req.IfNoneMatch = join(req.IfNoneMatch, h.value)
		}
	}
	if req.Method != http.MethodGet { // for others it guards a change, and the legacy service sees it (RFC 9110, section 13.1.2)
		req.IfNoneMatch = ""
	}
	return req
}

// forged returns the names of the request's headers that only weft may set: the legacy service does not get them.
func (m *message) forged() (names []string) {
	for _, h := range m.headers {
		if bytes.HasPrefix(h.name, []byte(enrich.OutcomeHeader)) {
			names = append(names, string(h.name))
		}
	}
	return names
}

// response takes what a verdict is given on out of a response_headers message.
func (m *message) response() enrich.Response {
	resp := enrich.Response{Origin: origin(string(m.codeDetails)), ContentLength: -1, Bodyless: m.endOfStream}
	for _, h := range m.headers {
		switch string(h.name) {
		case ":status":
			if n, err := strconv.Atoi(string(h.value)); err == nil { // else zero: no status that a verdict takes up
				resp.Status = n
			}
		case "content-length":
			if n, err := strconv.ParseInt(string(h.value), 10, 64); err == nil {
				resp.ContentLength = n
			}
		case "content-encoding":
			resp.ContentEncoding = join(resp.ContentEncoding, h.value)
		case "cache-control":
			resp.NoTransform = resp.NoTransform || hasNoTransform(string(h.value))
		}
	}
	return resp
}

// join makes one list of the fields with one name (RFC 9110, section 5.3).
func join(list string, value []byte) string {
	if list == "" {
		return string(value)
	}
	return list + ", " + string(value)
}

func hasNoTransform(cacheControl string) bool {
	for directive := range strings.SplitSeq(cacheControl, ",") {
		if strings.EqualFold(strings.TrimSpace(directive), "no-transform") {
			return true
		}
	}
	return false
}

// origin tells from Envoy's response code details who made a response. See "Response Code Details" in Envoy's
// documentation of HTTP connection management.
func origin(details string) enrich.Origin {
	switch {
	case details == "":
		return enrich.OriginUnknown
	case details == "via_upstream":
		return enrich.OriginLegacy
	case strings.HasPrefix(details, "upstream_"), // reset, timeouts, overflow
		details == "response_timeout",
		details == "request_overall_timeout",
		details == "no_healthy_upstream",
		details == "cluster_not_found",
		details == "maintenance_mode":
		return enrich.OriginUnreachable
	default:
		return enrich.OriginProxy
	}
}

// has reports whether there is a header with a name; with a value, whether that is the only one and has that value.
func (m *message) has(name string, value ...string) bool {
	n, last := m.header(name)
	return n > 0 && (len(value) == 0 || n == 1 && string(last) == value[0])
}

// answerChange is how the head of the response becomes that of an answer.
func answerChange(a enrich.Answer, exactLength bool) enrich.Headers {
	change := a.Headers()
	change.Set = append(change.Set, enrich.Header{Name: ":status", Value: strconv.Itoa(a.Status)})
	if a.Status == http.StatusNotModified || !exactLength {
		change.Remove = append(change.Remove, "content-length")
	} else {
		change.Set = append(change.Set, enrich.Header{Name: "content-length", Value: strconv.Itoa(len(a.Body))})
	}
	return change
}

// header returns how many headers have a name, and the value of the last one.
func (m *message) header(name string) (n int, value []byte) {
	for _, h := range m.headers {
		if string(h.name) == name {
			n, value = n+1, h.value
		}
	}
	return n, value
}
