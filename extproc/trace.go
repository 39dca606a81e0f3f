package extproc

import (
	"encoding/hex"

	"weft/enrich"
)

// Names of what tells of traces: in the metadata of a stream, and as headers of a request.
const (
	traceParent = "traceparent" // https://www.w3.org/TR/trace-context/
	requestID   = "x-request-id"
)

// trace returns the place of the exchange in a trace. An Envoy that traces makes a span of its own for its call of weft, and
// sends it as the stream's metadata; one that does not may still have a client that does, whose header it forwards.
func (x *exchange) trace() enrich.Trace {
	if n, value := x.stream.Metadata(traceParent); n == 1 {
		if t, ok := parseTraceParent(value); ok {
			return t
		}
	}
	if n, value := x.request.header(traceParent); n == 1 {
		t, _ := parseTraceParent(string(value))
		return t
	}
	return enrich.Trace{}
}

// parseTraceParent reads version-id-parent-flags. Versions to come may have more behind that.
func parseTraceParent(s string) (t enrich.Trace, ok bool) {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return t, false
	}
	for i := range length {
		if c := s[i]; c != '-' && (c < '0' || c > '9' && c < 'a' || c > 'f') {
			return t, false
		}
	}
	if s[:2] == "ff" || s[:2] == "00" && len(s) != length || len(s) > length && s[length] != '-' {
		return t, false
	}
	var flags [1]byte
	for _, part := range []struct {
		to   []byte
		from string
	}{{t.ID[:], s[3:35]}, {t.Parent[:], s[36:52]}, {flags[:], s[53:length]}} {
		if _, err := hex.Decode(part.to, []byte(part.from)); err != nil {
			return enrich.Trace{}, false
		}
	}
	t.Sampled = flags[0]&1 != 0
	if t.ID == [16]byte{} || t.Parent == [8]byte{} {
		return enrich.Trace{}, false
	}
	return t, true
}

// requestID returns what Envoy calls the request.
func (m *message) requestID() []byte {
	_, value := m.header(requestID)
	return value
}
