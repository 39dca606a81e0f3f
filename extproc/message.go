package extproc

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"weft/enrich"
)

// Headers returns the names of the headers that weft reads, and prefixes of such names. Envoy's configuration must
// forward them, and does not need to forward others.
func Headers() (prefixes, names []string) {
	return []string{":", enrich.OutcomeHeader},
		[]string{"cache-control", "content-encoding", "content-length", "if-none-match", upgrade, traceParent, requestID}
}

// IfNoneMatchHeader is the If-None-Match header of a GET whose conditions Envoy's configuration has removed.
const IfNoneMatchHeader = enrich.OutcomeHeader + "-if-none-match"

// Attributes returns the names of the response attributes that weft reads.
func Attributes() []string { return []string{codeDetails} }

const (
	codeDetails = "response.code_details"
	requestID   = "x-request-id"
	upgrade     = "upgrade"

	// attributesKey is the key of the attributes in a message, for any name of the filter in Envoy's configuration.
	attributesKey = "envoy.filters.http.ext_proc"
)

// kindOf returns the name of the oneof field that is set in a message, or the Go type of a field that is never
// expected.
func kindOf(m *extprocv3.ProcessingRequest) string {
	switch m.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		return requestHeaders
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		return responseHeaders
	case *extprocv3.ProcessingRequest_ResponseBody:
		return responseBody
	default:
		return fmt.Sprintf("%T", m.GetRequest())
	}
}

// The kinds of messages in an exchange.
const (
	requestHeaders  = "request_headers"
	responseHeaders = "response_headers"
	responseBody    = "response_body"
)

// fields are the headers of a message. Names are in lower case. Values may contain bytes that are not UTF-8.
type fields []*corev3.HeaderValue

// get returns the value of the last header with a name, and whether there is one.
func (f fields) get(name string) (value string, ok bool) {
	for _, h := range f {
		if h.GetKey() == name {
			value, ok = valueOf(h), true
		}
	}
	return value, ok
}

// valueOf returns the value of a header. Envoy sends raw_value; value is for older versions of the protocol.
func valueOf(h *corev3.HeaderValue) string {
	if raw := h.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return h.GetValue()
}

// request returns the parts of a request that rules match.
func (f fields) request() enrich.Request {
	var req enrich.Request
	for _, h := range f {
		switch h.GetKey() {
		case ":method":
			req.Method = valueOf(h)
		case ":authority":
			req.Host = valueOf(h)
		case ":path":
			req.Path = valueOf(h)
		case upgrade:
			req.IsUpgrade = true
		case "if-none-match", IfNoneMatchHeader:
			req.IfNoneMatch = join(req.IfNoneMatch, valueOf(h))
		}
	}
	if req.Method != http.MethodGet { // for others it is a precondition (RFC 9110, section 13.1.2)
		req.IfNoneMatch = ""
	}
	return req
}

// forged returns the names of request headers that only weft may set; they are not forwarded to the legacy service.
func (f fields) forged() (names []string) {
	for _, h := range f {
		if strings.HasPrefix(h.GetKey(), enrich.OutcomeHeader) {
			names = append(names, h.GetKey())
		}
	}
	return names
}

// response returns the parts of a response that a verdict needs. details is the attribute response.code_details.
func (f fields) response(details string, endOfStream bool) enrich.Response {
	resp := enrich.Response{Origin: origin(details), ContentLength: -1, Bodyless: endOfStream}
	for _, h := range f {
		switch h.GetKey() {
		case ":status":
			if n, err := strconv.Atoi(valueOf(h)); err == nil { // else 0, which passes
				resp.Status = n
			}
		case "content-length":
			if n, err := strconv.ParseInt(valueOf(h), 10, 64); err == nil {
				resp.ContentLength = n
			}
		case "content-encoding":
			resp.ContentEncoding = join(resp.ContentEncoding, valueOf(h))
		case "cache-control":
			resp.NoTransform = resp.NoTransform || hasNoTransform(valueOf(h))
		}
	}
	return resp
}

// join combines the values of a repeated header (RFC 9110, section 5.3).
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

// codeDetailsOf returns the attribute response.code_details, and whether the message has it.
func codeDetailsOf(m *extprocv3.ProcessingRequest) (details string, ok bool) {
	value, ok := m.GetAttributes()[attributesKey].GetFields()[codeDetails].GetKind().(*structpb.Value_StringValue)
	if !ok {
		return "", false
	}
	return value.StringValue, true
}

// origin returns the origin of a response by Envoy's response code details. See "Response Code Details" in Envoy's
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

// JWTMetadata is the namespace of Envoy's jwt_authn filter in the metadata of a request.
const JWTMetadata = "envoy.filters.http.jwt_authn"

// isVerified reports whether a claim of a token that Envoy has verified equals the first parameter. Envoy's jwt_authn
// filter stores the token's payload in the request's metadata, which the configuration forwards.
func isVerified(md *corev3.Metadata, claim enrich.Claim, params []enrich.Value) bool {
	if len(params) == 0 {
		return false
	}
	key := params[0]
	payload := md.GetFilterMetadata()[JWTMetadata].GetFields()[claim.Payload].GetStructValue()
	switch value := payload.GetFields()[claim.Name].GetKind().(type) {
	case *structpb.Value_StringValue:
		claimed, ok := enrich.ParseParam(key.Type, value.StringValue)
		return ok && claimed == key
	case *structpb.Value_NumberValue:
		const exact = 1 << 53 // beyond it a double may represent several integers
		return key.Type == enrich.Int64 && value.NumberValue == float64(key.Int) && key.Int > -exact && key.Int < exact
	default:
		return false
	}
}
