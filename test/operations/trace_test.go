package operations_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"weft/test/harness"
)

// collector is an OTLP receiver that records all spans.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	addr string

	mu    sync.Mutex
	spans []span
}

// span is a span and the service that sent it.
type span struct {
	service string
	*tracev1.Span
}

func startCollector(t *testing.T) *collector {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{addr: listener.Addr().String()}
	server := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, c)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return c
}

func (c *collector) Export(
	_ context.Context, request *collectorv1.ExportTraceServiceRequest,
) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		service := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, span{service, s})
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// openMetrics returns /metrics in OpenMetrics format, which has exemplars.
func openMetrics(t *testing.T, admin string) string {
	t.Helper()
	const format = "application/openmetrics-text"
	answer, err := harness.Get(t.Context(), "http://"+admin+"/metrics", "Accept", format+"; version=1.0.0")
	if err != nil || !strings.HasPrefix(answer.Header.Get("Content-Type"), format) ||
		!strings.HasSuffix(answer.Body, "# EOF\n") {
		t.Fatalf("no OpenMetrics: %v, %v: %s", err, answer.Header, answer)
	}
	return answer.Body
}

// trace returns the spans of a trace.
func (c *collector) trace(id string) (spans []span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if hex.EncodeToString(s.GetTraceId()) == id {
			spans = append(spans, s)
		}
	}
	return spans
}

// TestTrace records a trace from Envoy's tracer and weft with an OTLP receiver: client → Envoy → {legacy service, weft
// → MongoDB}.
func TestTrace(t *testing.T) {
	const recorded, unrecorded = "0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c"
	const client = "b7ad6b7169203331"
	collector := startCollector(t)
	s, admin := startSystem(t), freeAddr(t)
	seen := make(chan string, 10)
	s.Legacy.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("traceparent")
		_, _ = io.WriteString(w, harness.NewUser(7).Core)
	}))
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10") // milliseconds
	startWeft(t, s, "--otlp-endpoint", "http://"+collector.addr, "--admin", admin)
	startEnvoy(t, s, "--otlp", collector.addr, "--trace-sampling", "0")
	ask := func(id, flags string) string {
		answer, err := harness.Get(t.Context(), s.URL+"/api/v1/users/7", "traceparent", "00-"+id+"-"+client+"-"+flags)
		if err != nil || answer.Header.Get("x-weft") != "composed" {
			t.Fatalf("%s, %v", answer, err)
		}
		return <-seen
	}
	ask(unrecorded, "00")
	legacySaw := ask(recorded, "01")

	names := func(spans []span) (names []string) {
		for _, s := range spans {
			names = append(names, s.service+": "+s.GetName())
		}
		return names
	}
	var spans []span
	defer func() {
		if t.Failed() {
			t.Logf("the legacy service saw %s; there are %s", legacySaw, names(spans))
		}
	}()
	harness.Eventually(t, "Envoy and weft have sent their spans", func() bool {
		spans = collector.trace(recorded)
		return len(spans) >= 7
	})
	if len(spans) != 7 {
		t.Errorf("the trace has %s", names(spans))
	}
	// path returns the spans from the client to a span.
	path := func(s span) string {
		steps := []string{s.service + ": " + s.GetName()}
		for {
			parent := hex.EncodeToString(s.GetParentSpanId())
			if parent == client {
				slices.Reverse(steps)
				return "client → " + strings.Join(steps, " → ")
			}
			i := slices.IndexFunc(spans, func(p span) bool { return hex.EncodeToString(p.GetSpanId()) == parent })
			if i < 0 {
				return fmt.Sprintf("%s: its parent %s is missing; there are %s", steps, parent, names(spans))
			}
			s = spans[i]
			steps = append(steps, s.service+": "+s.GetName())
		}
	}
	var paths []string
	for _, s := range spans {
		if s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("%s ends before its start", s.GetName())
		}
		paths = append(paths, path(s))
		want := "00-" + recorded + "-" + hex.EncodeToString(s.GetSpanId()) + "-01"
		if s.GetName() == "router legacy egress" && legacySaw != want {
			t.Errorf("the legacy service saw %s, which is not Envoy's span", legacySaw)
		}
	}
	slices.Sort(paths)
	const (
		envoy = "client → envoy: ingress"
		call  = envoy + " → envoy: async envoy.service.ext_proc.v3.ExternalProcessor.Process egress"
		weft  = call + " → weft: exchange"
		want  = envoy + "\n" + call + "\n" + weft + "\n" + weft + " → weft: compose\n" +
			weft + " → weft: find profiles\n" + weft + " → weft: wait for MongoDB\n" +
			envoy + " → envoy: router legacy egress"
	)
	if got := strings.Join(paths, "\n"); got != want {
		t.Errorf("the trace is\n%s\nwant\n%s", got, want)
	}
	for _, histogram := range []string{"legacy", "added", "mongodb"} {
		exemplar := regexp.MustCompile(`(?m)^weft_` + histogram + `_duration_seconds_bucket\{rule="user",le="[^"]+"\} ` +
			`\d+ # \{trace_id="` + recorded + `"\} `)
		if metrics := openMetrics(t, admin); !exemplar.MatchString(metrics) || strings.Contains(metrics, unrecorded) {
			t.Errorf("weft_%s_duration_seconds has no exemplar, or one that is not recorded: %s", histogram, metrics)
		}
	}
	if spans := collector.trace(unrecorded); len(spans) > 0 {
		t.Errorf("a trace that is not recorded has spans: %s", names(spans))
	}
}
