package extproc

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"weft/enrich"
	"weft/internal/envoyhttp"
)

// Headers returns the names of the headers that weft reads, and prefixes of such names. Envoy's configuration must
// forward them, and does not need to forward others.
func Headers() (prefixes, names []string) {
	return []string{":", enrich.OutcomeHeader},
		[]string{"cache-control", "content-encoding", "content-length", "if-none-match", upgrade, traceParent, requestID}
}

// Attributes returns the names of the response attributes that weft reads.
func Attributes() []string { return []string{codeDetails} }

// CredentialAttributes returns the names of the request attributes that say whether a request identifies its caller, by
// one of some headers or by a token, which jwt_authn may have removed from the headers. They are CEL expressions.
func CredentialAttributes(headers []string) []string {
	attributes := []string{"'" + envoyhttp.JWTMetadata + "' in metadata.filter_metadata"}
	for _, name := range headers {
		attributes = append(attributes, "'"+name+"' in request.headers")
	}
	return attributes
}

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
			value, ok = string(bytesOf(h)), true
		}
	}
	return value, ok
}

// bytesOf returns the value of a header. Envoy sends raw_value; value is for older versions of the protocol.
func bytesOf(h *corev3.HeaderValue) []byte {
	if raw := h.GetRawValue(); len(raw) > 0 {
		return raw
	}
	return []byte(h.GetValue())
}

// request returns the parts of a request that rules match.
func (f fields) request() enrich.Request {
	var headers envoyhttp.RequestHeaders
	for _, h := range f {
		headers.Add(h.GetKey(), bytesOf(h))
	}
	return headers.Request()
}

// header returns all headers without credentials, some of which Envoy may send.
func (f fields) header(credentials []string) http.Header {
	header := http.Header{}
	for _, h := range f {
		if !slices.Contains(credentials, h.GetKey()) {
			header.Add(h.GetKey(), string(bytesOf(h)))
		}
	}
	return header
}

// haveCredentials reports whether a request identifies its caller. Envoy does not send the headers that do, but an
// attribute for each. If one is missing, it is not known.
func (f fields) haveCredentials(m *extprocv3.ProcessingRequest, names []string) (has, isKnown bool) {
	attributes := m.GetAttributes()[attributesKey].GetFields()
	for _, name := range CredentialAttributes(names) {
		value, isSent := attributes[name]
		if !isSent {
			return false, false
		}
		has = has || value.GetBoolValue()
	}
	return has || slices.ContainsFunc(names, func(name string) bool { _, isSent := f.get(name); return isSent }), true
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
	resp := enrich.Response{Origin: envoyhttp.Origin(details), ContentLength: -1, Bodyless: endOfStream}
	for _, h := range f {
		envoyhttp.AddResponseHeader(&resp, h.GetKey(), bytesOf(h))
	}
	return resp
}

// codeDetailsOf returns the attribute response.code_details; empty if the message does not have it.
func codeDetailsOf(m *extprocv3.ProcessingRequest) string {
	return m.GetAttributes()[attributesKey].GetFields()[codeDetails].GetStringValue()
}

// claimOf returns a claim of a token that Envoy has verified, or nil. Envoy's jwt_authn filter stores the token's
// payload in the request's metadata, which the configuration forwards.
func claimOf(md *corev3.Metadata, claim enrich.Claim) any {
	payload := md.GetFilterMetadata()[envoyhttp.JWTMetadata].GetFields()[claim.Payload].GetStructValue()
	return payload.GetFields()[claim.Name].AsInterface()
}
