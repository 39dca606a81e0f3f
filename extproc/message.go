package extproc

import (
	"net/http"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"weft/enrich"
)

// filterName is the key of the attributes in a message, whatever name the filter has in Envoy's configuration.
const filterName = "envoy.filters.http.ext_proc"

// Headers returns the names of the headers that weft reads. Envoy's configuration must forward them, and need not
// forward any more.
func Headers() []string {
	return []string{
		":method", ":authority", ":path", "if-none-match",
		":status", "content-length", "content-encoding", "cache-control",
	}
}

// Attributes returns the names of the response attributes that weft reads.
func Attributes() []string { return []string{codeDetails} }

const codeDetails = "response.code_details"

// request takes what a rule is matched with out of a request_headers message.
func request(msg *extprocv3.HttpHeaders) enrich.Request {
	var req enrich.Request
	for _, h := range msg.GetHeaders().GetHeaders() {
		switch h.GetKey() {
		case ":method":
			req.Method = value(h)
		case ":authority":
			req.Host = value(h)
		case ":path":
			req.Path = value(h)
		case "if-none-match":
			req.IfNoneMatch = join(req.IfNoneMatch, value(h))
		}
	}
	if req.Method != http.MethodGet { // for others it guards a change, and the legacy service sees it (RFC 9110, section 13.1.2)
		req.IfNoneMatch = ""
	}
	return req
}

// response takes what a verdict is given on out of a response_headers message.
func response(msg *extprocv3.HttpHeaders, attributes map[string]*structpb.Struct) enrich.Response {
	resp := enrich.Response{
		Origin:        origin(attributes[filterName].GetFields()[codeDetails].GetStringValue()),
		ContentLength: -1,
		Bodyless:      msg.GetEndOfStream(),
	}
	for _, h := range msg.GetHeaders().GetHeaders() {
		switch h.GetKey() {
		case ":status":
			if n, err := strconv.Atoi(value(h)); err == nil { // else zero: no status that a verdict takes up
				resp.Status = n
			}
		case "content-length":
			if n, err := strconv.ParseInt(value(h), 10, 64); err == nil {
				resp.ContentLength = n
			}
		case "content-encoding":
			resp.ContentEncoding = join(resp.ContentEncoding, value(h))
		case "cache-control":
			resp.NoTransform = resp.NoTransform || hasNoTransform(value(h))
		}
	}
	return resp
}

// join makes one list of the fields with one name (RFC 9110, section 5.3).
func join(list, value string) string {
	if list == "" {
		return value
	}
	return list + ", " + value
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

// value returns a header's value. Envoy sends raw_value; value is for processors of an older protocol.
func value(h *corev3.HeaderValue) string {
	if raw := h.GetRawValue(); raw != nil {
		return string(raw)
	}
	return h.GetValue()
}

// answerMutation is how the head of the response becomes that of an answer.
func answerMutation(a enrich.Answer, exactLength bool) *extprocv3.HeaderMutation {
	m := mutation(a.Headers())
	m.SetHeaders = append(m.SetHeaders, set(":status", strconv.Itoa(a.Status)))
	if a.Status == http.StatusNotModified || !exactLength {
		m.RemoveHeaders = append(m.RemoveHeaders, "content-length")
	} else {
		m.SetHeaders = append(m.SetHeaders, set("content-length", strconv.Itoa(len(a.Body))))
	}
	return m
}

func mutation(change enrich.Headers) *extprocv3.HeaderMutation {
	m := &extprocv3.HeaderMutation{RemoveHeaders: change.Remove}
	for _, h := range change.Set {
		m.SetHeaders = append(m.SetHeaders, set(h.Name, h.Value))
	}
	return m
}

func set(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, RawValue: []byte(value)},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}
