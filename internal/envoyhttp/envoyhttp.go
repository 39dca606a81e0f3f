// Package envoyhttp is what Envoy's HTTP messages mean to weft, and how it answers them, whichever way they come:
// through the protocol of ext_proc, or in Envoy's process.
package envoyhttp

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"weft/enrich"
)

// IfNoneMatchHeader is the If-None-Match header of a GET whose conditions Envoy's configuration has removed.
const IfNoneMatchHeader = enrich.OutcomeHeader + "-if-none-match"

// MetadataNamespace is the namespace of the dynamic metadata for Envoy's access log.
const MetadataNamespace = "weft"

const (
	// BufferSlack is how many bytes more than the largest core Envoy must be able to buffer: a response that fills its
	// buffer exactly counts as too large, and the extension must fit, too.
	BufferSlack = 64 << 10

	// MaxAnswer is the limit of an answer that Envoy does not have to buffer, in bytes. A list could have any number of
	// copies of a large document.
	MaxAnswer = 32 << 20
)

// AddRequestHeader adds a header to what a rule is matched with. The name is in lower case. After the last header,
// [EndRequestHeaders] must be called.
func AddRequestHeader(req *enrich.Request, name string, value []byte) {
	switch name {
	case ":method":
		req.Method = string(value)
	case ":authority":
		req.Host = string(value)
	case ":path":
		req.Path = string(value)
	case "upgrade":
		req.IsUpgrade = true
	case "if-none-match", IfNoneMatchHeader:
		req.IfNoneMatch = join(req.IfNoneMatch, string(value))
	}
}

// EndRequestHeaders is called when all headers have been added.
func EndRequestHeaders(req *enrich.Request) {
	if req.Method != http.MethodGet { // with others it is a precondition for the legacy service (RFC 9110, section 13.1.2)
		req.IfNoneMatch = ""
	}
}

// AddResponseHeader adds a header to what a verdict is given on. The name is in lower case. The ContentLength of resp
// must be -1 before the first header.
func AddResponseHeader(resp *enrich.Response, name string, value []byte) {
	switch name {
	case ":status":
		if n, err := strconv.Atoi(string(value)); err == nil { // else 0, for which every verdict is pass
			resp.Status = n
		}
	case "content-length":
		if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
			resp.ContentLength = n
		}
	case "content-encoding":
		resp.ContentEncoding = join(resp.ContentEncoding, string(value))
	case "cache-control":
		resp.NoTransform = resp.NoTransform || hasNoTransform(value)
	}
}

// join makes one list of the fields with one name (RFC 9110, section 5.3).
func join(list, value string) string {
	if list == "" {
		return value
	}
	return list + ", " + value
}

func hasNoTransform(cacheControl []byte) bool {
	for directive := range bytes.SplitSeq(cacheControl, []byte(",")) {
		if strings.EqualFold(string(bytes.TrimSpace(directive)), "no-transform") {
			return true
		}
	}
	return false
}

// Origin returns who made a response, by Envoy's response code details. See "Response Code Details" in Envoy's
// documentation of HTTP connection management.
func Origin(details string) enrich.Origin {
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

// HasCoreOf reports whether the legacy service is asked for the core of a rule. routed is the name of the rule that the
// route of the request is for; empty if that is not known. It is the same core if neither the rule nor that of the
// route has a legacy_path.
func HasCoreOf(rules enrich.Rules, routed string, rule *enrich.Rule) bool {
	if routed == "" || routed == rule.Name {
		return true
	}
	other, ok := rules.Named(routed)
	return ok && other.LegacyPath.IsZero() && rule.LegacyPath.IsZero()
}

// AnswerHeaders returns how the headers of the response become those of an answer.
func AnswerHeaders(a enrich.Answer, exactLength bool) enrich.Headers {
	change := a.Headers()
	if a.Status != 0 {
		change.Set = append(change.Set, enrich.Header{Name: ":status", Value: strconv.Itoa(a.Status)})
	}
	if a.Status == http.StatusNotModified || !exactLength {
		change.Remove = append(change.Remove, "content-length")
	} else {
		change.Set = append(change.Set, enrich.Header{Name: "content-length", Value: strconv.Itoa(len(a.Body))})
	}
	return change
}

// Trace returns the trace of the first traceparent (W3C Trace Context) that is valid.
func Trace(traceParents ...string) enrich.Trace {
	for _, parent := range traceParents {
		if parent == "" {
			continue
		}
		extracted := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent})
		if c := trace.SpanContextFromContext(extracted); c.IsValid() {
			return enrich.Trace{ID: c.TraceID(), Parent: c.SpanID(), Sampled: c.IsSampled()}
		}
	}
	return enrich.Trace{}
}

// Milliseconds are exact to a microsecond.
func Milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond).Microseconds()) / 1000
}

// ServerTiming returns the value of a server-timing header (W3C Server Timing), which browsers show: what the legacy
// service took, what MongoDB took, and what weft added, in milliseconds.
func ServerTiming(t enrich.Times) string {
	b := make([]byte, 0, 64)
	add := func(name string, d time.Duration) {
		b = strconv.AppendFloat(append(b, name...), Milliseconds(d), 'f', -1, 64)
	}
	add("legacy;dur=", t.Legacy)
	if t.Read != 0 {
		add(", mongodb;dur=", t.Read)
	}
	add(", weft;dur=", t.Added)
	return string(b)
}
