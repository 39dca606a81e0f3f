package extproc_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"weft/enrich"
	"weft/extproc"
	"weft/internal/rulesfile"
	"weft/test/storetest"
)

const (
	none     = filterv3.ProcessingMode_NONE
	buffered = filterv3.ProcessingMode_BUFFERED
	partial  = filterv3.ProcessingMode_BUFFERED_PARTIAL
)

// TestProcess covers each path through an exchange.
func TestProcess(t *testing.T) {
	p := newPeer(t, storetest.Mem{`{"userId":7,"tags":["vip"]}`})
	extension := `{"userId":7,"tags":["vip"],"lastActivityScore":0.0,"customSettings":{}}`
	composite := `{"core":` + core7 + `,"extension":` + extension + `,"errors":[]}`
	coreNull := `{"core":null,"extension":` + extension + `,"errors":["Failed to fetch core user profile."]}`
	ok := []string{":status", "200"}
	known := []string{":status", "200", "content-length", "55"}
	tests := []struct {
		name     string
		response *extprocv3.ProcessingRequest
		mode     filterv3.ProcessingMode_BodySendMode // requested in the reply; NONE if the exchange ends there
		body     *extprocv3.ProcessingRequest
		want     string // the new body; empty if the legacy one passes
		outcome  string
		length   string // content-length that is set; empty for none
	}{
		{
			"of unknown length", responseHeaders("via_upstream", false, ok...), partial,
			responseBody(core7, true), composite, "composed", "",
		},
		{
			"of known length", responseHeaders("via_upstream", false, known...), buffered,
			responseBody(core7, true), composite, "composed", strconv.Itoa(len(composite)),
		},
		{
			"of known length, with trailers", responseHeaders("via_upstream", false, known...), buffered,
			responseBody(core7, false), composite, "composed", strconv.Itoa(len(composite)),
		},
		{
			"only a part fits", responseHeaders("via_upstream", false, ok...), partial,
			responseBody(core7, false), "", "passed; reason=core-too-large", "",
		},
		{
			"over the limit", responseHeaders("via_upstream", false, ok...), partial,
			responseBody(strings.Repeat(" ", 1<<20+1), true), "", "passed; reason=core-too-large", "",
		},
		{
			"invalid", responseHeaders("via_upstream", false, ok...), partial,
			responseBody("{", true), coreNull, "degraded; reason=core-invalid", "",
		},
		{
			"500", responseHeaders("via_upstream", false, ":status", "500"), partial,
			responseBody("<h1>", true), coreNull, "degraded; reason=legacy-error", "",
		},
		{
			"500 of known length", responseHeaders("via_upstream", false, ":status", "500", "content-length", "4"), buffered,
			responseBody("<h1>", true), coreNull, "degraded; reason=legacy-error", strconv.Itoa(len(coreNull)),
		},
		{
			"500 without a body", responseHeaders("via_upstream", true, ":status", "500"), none, nil,
			coreNull, "degraded; reason=legacy-error", "",
		},
		{
			"timeout", responseHeaders("response_timeout", false, ":status", "504"), none, nil,
			coreNull, "degraded; reason=legacy-unreachable", "",
		},
		{
			"204", responseHeaders("via_upstream", true, ":status", "204"), none, nil,
			coreNull, "degraded; reason=core-empty", "",
		},
		{
			"403", responseHeaders("via_upstream", false, ":status", "403"), none, nil,
			"", "passed; reason=client-error", "",
		},
		{
			"Envoy's own 403", responseHeaders("rbac_access_denied_matched_policy[none]", false, ":status", "403"), none, nil,
			"", "passed; reason=local-reply", "",
		},
		{
			"an Envoy that sends no attributes", responseHeaders("", false, ok...), none, nil,
			"", "passed; reason=origin-unknown", "",
		},
		{
			"a status that is not a number", responseHeaders("via_upstream", false, ":status", "many"), none, nil,
			"", "passed; reason=not-final", "",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := p.stream(t.Context(), t)
			if got := roundTrip(t, s, get7()).GetRequestHeaders(); got == nil {
				t.Fatal("no reply to request_headers")
			}
			reply := roundTrip(t, s, test.response)
			if got := reply.GetModeOverride().GetResponseBodyMode(); got != test.mode {
				t.Fatalf("body mode %v, want %v", got, test.mode)
			}
			common := reply.GetResponseHeaders().GetResponse()
			if test.body != nil {
				if n := len(common.GetHeaderMutation().GetSetHeaders()); n > 0 {
					t.Errorf("%d headers are changed before the body is there", n)
				}
				common = roundTrip(t, s, test.body).GetResponseBody().GetResponse()
			}
			if got := string(common.GetBodyMutation().GetBody()); got != test.want {
				t.Errorf("body\n got %s\nwant %s", got, test.want)
			}
			if got := setHeader(common, "x-weft"); got != test.outcome {
				t.Errorf("x-weft %q, want %q", got, test.outcome)
			}
			if got := setHeader(common, "content-length"); got != test.length {
				t.Errorf("content-length %q, want %q", got, test.length)
			}
			expectEnd(t, s)
			if r := <-p.reports; r.Rule != "user" || r.Outcome.String() != test.outcome {
				t.Errorf("report %+v, want %s", r, test.outcome)
			}
		})
	}
}

// TestLargeErrorPage: weft does not wait for a large body that it would drop.
func TestLargeErrorPage(t *testing.T) {
	p := newPeer(t, storetest.Mem{})
	s := p.stream(t.Context(), t)
	roundTrip(t, s, get7())
	reply := roundTrip(t, s, responseHeaders("via_upstream", false, ":status", "500", "content-length", "5000000"))
	if mode := reply.GetModeOverride().GetResponseBodyMode(); mode != partial {
		t.Errorf("body mode %v", mode)
	}
	immediate := roundTrip(t, s, responseBody("<h1>", false)).GetImmediateResponse()
	got := string(immediate.GetBody())
	if immediate.GetStatus().GetCode() != 200 || !strings.HasPrefix(got, `{"core":null,`) {
		t.Errorf("%v %s", immediate.GetStatus(), got)
	}
	expectEnd(t, s)
}

type messages = []*extprocv3.ProcessingRequest

// TestOutOfOrder sends messages that Process does not expect. It always ends the stream with OK.
func TestOutOfOrder(t *testing.T) {
	p := newPeer(t, storetest.Mem{})
	ok := responseHeaders("via_upstream", false, ":status", "200")
	trailers := &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{}}
	tests := []struct {
		name     string
		messages messages
		outcome  string
	}{
		{"unknown kind of message", messages{{}}, "passed; reason=out-of-order"},
		{
			"message without content",
			messages{{Request: &extprocv3.ProcessingRequest_RequestHeaders{}}},
			"passed; reason=no-rule",
		},
		{"response first, as after RBAC's 403", messages{ok}, "passed; reason=out-of-order"},
		{"body first", messages{responseBody("x", true)}, "passed; reason=out-of-order"},
		{"request twice", messages{get7(), get7()}, "passed; reason=out-of-order"},
		{"no response headers", messages{get7(), responseBody("x", true)}, "passed; reason=out-of-order"},
		{"response twice", messages{get7(), ok, ok}, "passed; reason=out-of-order"},
		{"trailers for a body", messages{get7(), ok, trailers}, "passed; reason=out-of-order"},
		{"no rule", messages{requestHeaders(":method", "GET", ":path", "/")}, "passed; reason=no-rule"},
		{"no headers", messages{requestHeaders()}, "passed; reason=no-rule"},
		{
			"bytes that are not UTF-8",
			messages{requestHeaders(":method", "GET", ":path", "/api/v1/users/\x00\xff")},
			"passed; reason=no-rule",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := p.stream(t.Context(), t)
			last := len(test.messages) - 1
			for _, msg := range test.messages[:last] {
				if roundTrip(t, s, msg) == nil {
					t.Fatal("the stream has ended too early")
				}
			}
			if reply := roundTrip(t, s, test.messages[last]); reply != nil {
				t.Errorf("unexpected reply: %v", reply)
			}
			if r := <-p.reports; r.Outcome.String() != test.outcome {
				t.Errorf("report %+v, want %s", r, test.outcome)
			}
		})
	}
}

// TestStreamedByteOrderMark: a byte order mark is removed from a streamed core, also if chunks split it.
func TestStreamedByteOrderMark(t *testing.T) {
	p := newPeer(t, storetest.Mem{`{"userId":7}`})
	rule := *rulesfile.Builtin().Rules[0]
	rule.StreamLarge = true
	ruleset := extproc.NewRuleset([]*enrich.Rule{rule.Ready()}, "")
	p.server.Rules = func() *extproc.Ruleset { return ruleset }
	const mark = enrich.ByteOrderMark
	for _, chunks := range [][]string{
		{mark + core7},
		{mark[:1], mark[1:] + core7},
		{mark[:2], mark[2:], core7},
		{"", mark, core7, ""},
		{core7[:1], core7[1:2], core7[2:]},
		{"", core7},
		{core7},
	} {
		s := p.stream(t.Context(), t)
		roundTrip(t, s, get7())
		roundTrip(t, s, responseHeaders("via_upstream", false, ":status", "200", "content-length", "5000000"))
		var got strings.Builder
		for i, chunk := range chunks {
			m := roundTrip(t, s, responseBody(chunk, i == len(chunks)-1)).GetResponseBody().GetResponse().GetBodyMutation()
			if m == nil {
				got.WriteString(chunk)
			}
			got.Write(m.GetBody())
		}
		expectEnd(t, s)
		extension := `{"userId":7,"tags":[],"lastActivityScore":0.0,"customSettings":{}}`
		if want := `{"core":` + core7 + `,"extension":` + extension + `,"errors":[]}`; got.String() != want {
			t.Errorf("%q:\n got %s\nwant %s", chunks, got.String(), want)
		}
		<-p.reports
	}
}

// TestMessageTooLarge: grpc-go ends a stream with an error if a message is over its limit; then the response passes if
// the filter has failure_mode_allow. The reason is that of a large core.
func TestMessageTooLarge(t *testing.T) {
	p := newPeer(t, storetest.Mem{})
	s := p.stream(t.Context(), t)
	roundTrip(t, s, get7())
	roundTrip(t, s, responseHeaders("via_upstream", false, ":status", "200"))
	if err := s.Send(responseBody(strings.Repeat(" ", extproc.MaxMessage), true)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the stream ends with %v", err)
	}
	if r := <-p.reports; r.Outcome.String() != "passed; reason=core-too-large" {
		t.Errorf("report %+v", r)
	}
}

// heldStore is a Store that returns when ctx ends.
type heldStore struct{ asked, ended chan struct{} }

func newHeldStore() heldStore {
	return heldStore{asked: make(chan struct{}), ended: make(chan struct{})}
}

func (h heldStore) Find(ctx context.Context, _ *enrich.Source, keys []enrich.Key) []enrich.Extension {
	close(h.asked)
	<-ctx.Done()
	close(h.ended)
	return slices.Repeat([]enrich.Extension{{Err: context.Cause(ctx)}}, len(keys))
}

// TestReadIsEarly: the read starts before the response arrives, and ends with the stream.
func TestReadIsEarly(t *testing.T) {
	store := newHeldStore()
	p := newPeer(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	s := p.stream(ctx, t)
	roundTrip(t, s, get7())
	<-store.asked // there was no response yet
	cancel()
	<-store.ended
	if r := <-p.reports; r.Outcome.Reason != enrich.StreamEnded {
		t.Errorf("report %+v", r)
	}
}

// TestBudget: if a store does not respond, the client waits for the budget and gets the shape.
func TestBudget(t *testing.T) {
	store := newHeldStore()
	p := newPeer(t, store)
	s := p.stream(metadata.AppendToOutgoingContext(t.Context(), extproc.BudgetHeader, "10ms"), t)
	roundTrip(t, s, get7())
	roundTrip(t, s, responseHeaders("via_upstream", false, ":status", "200"))
	reply := roundTrip(t, s, responseBody(core7, true)).GetResponseBody().GetResponse()
	want := `{"core":` + core7 + `,"extension":null,"errors":["Failed to fetch extended user profile."]}`
	if got := string(reply.GetBodyMutation().GetBody()); got != want {
		t.Errorf("body\n got %s\nwant %s", got, want)
	}
	expectEnd(t, s)
	if r := <-p.reports; r.Outcome.Reason != enrich.ExtensionTimeout || !errors.Is(r.Err, context.DeadlineExceeded) {
		t.Errorf("report %+v", r)
	}
}

// TestIdleStreams opens streams that are never used, and ends them.
func TestIdleStreams(t *testing.T) {
	p := newPeer(t, storetest.Mem{})
	ctx, cancel := context.WithCancel(t.Context())
	const streams = 10_000
	for range streams {
		p.stream(ctx, t)
	}
	s := p.stream(t.Context(), t)
	if roundTrip(t, s, get7()).GetRequestHeaders() == nil {
		t.Error("a stream among idle ones got no reply")
	}
	cancel()
	for range streams {
		if r := <-p.reports; r.Outcome.Reason != enrich.StreamEnded {
			t.Fatalf("report %+v", r)
		}
	}
}

// FuzzProcess sends messages in any order, with any content. Each exchange ends with OK and is reported once.
func FuzzProcess(f *testing.F) {
	raw, err := proto.Marshal(responseHeaders("via_upstream", true, ":status", "200"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("\x00\x02\x04"), "/api/v1/users/7", core7, "200", raw)
	f.Add([]byte("\x00\x02\x0a"), "/api/v1/users/7", core7, "200", raw)
	f.Add([]byte("\x00\x03\x03"), "/api/v3/composite-profile/7", "{", "500", raw)
	f.Add([]byte("\x00\x02\x04\x01\x05"), "/", "", "404", raw)
	f.Add([]byte("\x00\x05\x04"), "/api/v1/users/7", core7, "200", raw)
	p := newPeer(f, storetest.Mem{`{"userId":7,"tags":["vip"]}`})
	f.Fuzz(func(t *testing.T, order []byte, path, body, code string, raw []byte) {
		if len(order) > 10 {
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := p.stream(ctx, t)
		for _, kind := range order {
			var msg *extprocv3.ProcessingRequest
			switch kind % 6 {
			case 0:
				msg = requestHeaders(":method", "GET", ":path", path)
			case 1:
				msg = requestHeaders(":method", "HEAD", ":path", path, "if-none-match", body)
			case 2:
				msg = responseHeaders("via_upstream", false, ":status", code)
			case 3:
				msg = responseHeaders("via_upstream", kind > 6, ":status", code, "content-length", body, "content-encoding", path)
			case 4:
				msg = responseBody(body, kind > 6)
			default: // any valid protobuf message
				msg = &extprocv3.ProcessingRequest{}
				if proto.Unmarshal(raw, msg) != nil {
					msg.Reset()
				}
			}
			if s.Send(msg) != nil {
				break
			}
		}
		_ = s.CloseSend()
		for {
			if _, err := s.Recv(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		<-p.reports
		select {
		case r := <-p.reports:
			t.Errorf("a second report: %+v", r)
		default:
		}
	})
}
