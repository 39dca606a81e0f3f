// Package envoyhttp interprets Envoy's HTTP messages and creates the headers of weft's responses. Package extproc uses
// it for the ext_proc protocol, package module for a filter in Envoy's process.
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

// MetadataNamespace is the namespace of the dynamic metadata that the end of an exchange sets, for Envoy's access log:
// rule, verdict, reason (two reasons with a plus between them if core and extension failed), legacy_ms, mongodb_ms,
// added_ms, cache (hit, miss or stale) if an extension has one, and core (hit, revalidated, miss or stale) if the rule
// keeps cores. Unknown values are omitted. With ext_proc, Envoy's
// configuration must allow it (receiving_namespaces).
const MetadataNamespace = "weft"

const (
	// BufferSlack is the size of Envoy's buffer beyond the largest core, in bytes: a response that fills the buffer
	// exactly counts as too large, and the extensions need space.
	BufferSlack = 64 << 10

	// MaxAnswer is the limit of a composition that Envoy does not have to buffer, in bytes. A list could contain any
	// number of copies of a large document.
	MaxAnswer = 32 << 20
)

// RequestHeaders collects the parts of a request that rules match. Its zero value is empty.
type RequestHeaders struct {
	request enrich.Request
	moved   string // values of IfNoneMatchHeader
}

// Add adds a header. The name must be in lower case.
func (h *RequestHeaders) Add(name string, value []byte) {
	switch name {
	case ":method":
		h.request.Method = string(value)
	case ":authority":
		h.request.Host = string(value)
	case ":path":
		h.request.Path = string(value)
	case "upgrade":
		h.request.IsUpgrade = true
	case "if-none-match":
		h.request.IfNoneMatch = join(h.request.IfNoneMatch, string(value))
	case IfNoneMatchHeader:
		h.moved = join(h.moved, string(value))
	}
}

// Request returns the parts of the complete request.
func (h *RequestHeaders) Request() enrich.Request {
	r := h.request
	switch {
	case r.Method != http.MethodGet: // for others it is a precondition (RFC 9110, section 13.1.2)
		r.IfNoneMatch = ""
	case r.IfNoneMatch == "": // if there are both, the client has sent both
		r.IfNoneMatch = h.moved
	}
	return r
}

// AddResponseHeader adds a header to the parts of a response that a verdict needs. The name must be in lower case. The
// ContentLength of resp must be -1 before the first header.
func AddResponseHeader(resp *enrich.Response, name string, value []byte) {
	switch name {
	case ":status":
		if n, err := strconv.Atoi(string(value)); err == nil { // else 0, which passes
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

// join combines the values of a repeated header (RFC 9110, section 5.3).
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

// Origin returns the origin of a response by Envoy's response code details. See "Response Code Details" in Envoy's
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

// HasCoreOf reports whether Envoy requests the core of a rule from the legacy service. routed is the name of the rule
// of the route; empty if unknown. Rules without a legacy_path have the same core.
func HasCoreOf(rules enrich.Rules, routed string, rule *enrich.Rule) bool {
	if routed == "" || routed == rule.Name {
		return true
	}
	other := rules.Named(routed)
	return other != nil && other.LegacyPath.IsZero() && rule.LegacyPath.IsZero()
}

// AnswerHeaders returns the change from the headers of the response to those of an answer. exactLength sets
// content-length; otherwise it is removed.
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

// Trace returns the trace of the first valid traceparent (W3C Trace Context), or the zero value.
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

// Milliseconds returns d in milliseconds, rounded to microseconds.
func Milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond).Microseconds()) / 1000
}

// ServerTiming returns the value of a server-timing header (W3C Server Timing), which browsers display: the times of
// the legacy service and of MongoDB, which overlap, and the time that weft added, in milliseconds; and where
// cached extensions and cores are from.
func ServerTiming(r *enrich.Report) string {
	t, b := r.Times, make([]byte, 0, 64)
	add := func(name string, d time.Duration) {
		b = strconv.AppendFloat(append(b, name...), Milliseconds(d), 'f', -1, 64)
	}
	add("legacy;dur=", t.Legacy)
	if t.Read != 0 {
		add(", mongodb;dur=", t.Read)
	}
	if status := r.Cache(); status != "" {
		b = append(append(b, ", cache;desc="...), status...)
	}
	if r.Core != "" {
		b = append(append(b, ", core;desc="...), r.Core...)
	}
	add(", weft;dur=", t.Added)
	return string(b)
}
