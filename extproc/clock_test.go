package extproc_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"weft/enrich"
)

// timedStore returns the time of its call and of its result.
type timedStore struct{ command enrich.Command }

func (s timedStore) Find(context.Context, *enrich.Source, []enrich.Key) []enrich.Extension {
	return []enrich.Extension{{JSON: []byte("{}"), Command: &s.command}}
}

// TestTimes advances the clock by a millisecond at each reading. Only the exchange's goroutine reads it.
func TestTimes(t *testing.T) {
	const ms = time.Millisecond
	began := time.Date(2020, 2, 29, 12, 0, 0, 0, time.UTC)
	p := newPeer(t, timedStore{enrich.Command{Began: began, Ended: began.Add(3 * ms), Keys: 5}})
	looks := 0
	p.server.Now = func() time.Time { looks++; return began.Add(time.Duration(looks-1) * ms) }
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	s := p.stream(metadata.AppendToOutgoingContext(t.Context(), "traceparent", parent), t)
	// 0: the request arrives. 1: it continues.
	roundTrip(t, s, requestHeaders(":method", "GET", ":path", "/api/v1/users/7", "x-request-id", "r",
		"traceparent", "00-00000000000000000000000000000001-0000000000000001-00"))
	roundTrip(t, s, responseHeaders("via_upstream", false, ":status", "200")) // 2 and 3
	roundTrip(t, s, responseBody(core7, true))                                // 4; 5 and 6: the wait; 7
	expectEnd(t, s)
	r := <-p.reports
	want := enrich.Times{
		Began: began, Legacy: 2 * ms, Added: 5 * ms, Waited: ms, Read: 3 * ms,
		Forwarded: ms, Answered: 4 * ms, Waiting: 5 * ms,
	}
	if r.Times != want {
		t.Errorf("\n got %+v\nwant %+v", r.Times, want)
	}
	if len(r.Reads) != 1 || r.Reads[0].Source.Name != "extension" || r.Reads[0].Late || r.Reads[0].Command.Keys != 5 {
		t.Errorf("reads %+v", r.Reads)
	}
	composite := `{"core":` + core7 + `,"extension":{},"errors":[]}`
	if r.Status != 200 || r.CoreSize != len(core7) || r.AnswerSize != len(composite) || r.RequestID != "r" {
		t.Errorf("%+v", r)
	}
	if !r.Trace.Sampled || r.Trace.ID[0] != 0x0a || r.Trace.Parent[0] != 0xb7 {
		t.Errorf("trace %+v: want that of Envoy's call", r.Trace)
	}

	s = p.stream(t.Context(), t)
	roundTrip(t, s, requestHeaders(":method", "GET", ":path", "/api/v1/users/7", "traceparent", parent))
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	expectEnd(t, s)
	if r := <-p.reports; r.Trace.Parent[0] != 0xb7 || r.Times.Legacy != ms || r.Status != 0 {
		t.Errorf("%+v: want the trace of the client's header, and the time until the end", r)
	}
}
