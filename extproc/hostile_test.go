package extproc_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"weft/enrich"
	"weft/test/storetest"
)

// rawCodec sends bytes unchanged instead of a message.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// TestMalformedMessages sends messages that are not valid protobuf, at the start and in the middle of a stream. The
// exchange ends and is reported; others continue.
func TestMalformedMessages(t *testing.T) {
	p := newPeer(t, storetest.Mem{})
	begin, err := proto.Marshal(get7())
	if err != nil {
		t.Fatal(err)
	}
	for name, messages := range map[string][][]byte{
		"truncated":                           {begin[:len(begin)-3]},
		"not protobuf":                        {[]byte("GET / HTTP/1.1\r\n\r\n")},
		"a length too long":                   {{0x12, 0xff, 0xff, 0xff, 0xff, 0x0f}},
		"a string that is not UTF-8 in a key": {{0x12, 0x09, 0x0a, 0x07, 0x0a, 0x05, 0x0a, 0x01, 0xff, 0x12, 0x00}},
		"in the middle":                       {begin, []byte{0xff}},
		"empty":                               {{}},
	} {
		t.Run(name, func(t *testing.T) {
			stream, err := p.conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
				"/envoy.service.ext_proc.v3.ExternalProcessor/Process", grpc.ForceCodecV2(rawCodec{}))
			if err != nil {
				t.Fatal(err)
			}
			for _, msg := range messages {
				if err := stream.SendMsg(msg); err != nil {
					t.Fatal(err)
				}
			}
			for {
				var reply []byte
				if err := stream.RecvMsg(&reply); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					if status.Code(err) != codes.Internal { // gRPC reports it before Process does
						t.Errorf("the stream ended with %v", err)
					}
					break
				}
			}
			if r := <-p.reports; r.Outcome.Disposition != enrich.Passed || r.Err == nil {
				t.Errorf("report %+v", r)
			}
		})
	}
	s := p.stream(t.Context(), t)
	if roundTrip(t, s, get7()).GetRequestHeaders() == nil {
		t.Error("a valid message after malformed ones got no reply")
	}
}

// TestOddHeaders: with any value of a header, the exchange passes at worst.
func TestOddHeaders(t *testing.T) {
	p := newPeer(t, storetest.Mem{})
	for _, path := range []string{
		"", "\x00", "/api/v1/users/7\x00", "/api/v1/users/\x7f", "/api/v1/users/\xff\xfe",
		"/api/v1/users/7\r\nx-weft: composed",
		"/api/v1/users/" + strings.Repeat("7", 1<<16), strings.Repeat("/", 1<<16),
		"/api/v1/users/٧", "/api/v1/users/{$gt:1}",
	} {
		s := p.stream(t.Context(), t)
		if reply := roundTrip(t, s, requestHeaders(":method", "GET", ":path", path)); reply != nil {
			t.Errorf("%.40q matches a rule", path)
		}
		if r := <-p.reports; r.Outcome.Reason != enrich.NoRule {
			t.Errorf("%.40q: report %+v", path, r)
		}
	}
	// Values that are not a number or token are ignored.
	for _, value := range []string{"", "\x00", "-1", "+5", "1e3", "9223372036854775808", "5, 5", "٥", "\xff"} {
		s := p.stream(t.Context(), t)
		roundTrip(t, s, get7())
		reply := roundTrip(t, s, responseHeaders("via_upstream", false,
			":status", "200", "content-length", value, "cache-control", value))
		if reply.GetModeOverride() == nil {
			t.Errorf("content-length %q: %v", value, reply)
		}
		reply = roundTrip(t, s, responseBody(core7, true))
		body := string(reply.GetResponseBody().GetResponse().GetBodyMutation().GetBody())
		if !strings.HasPrefix(body, `{"core":`+core7) {
			t.Errorf("content-length %q: body %q", value, body)
		}
		<-p.reports
	}
	statuses := []string{
		"", "\x00", "0", "-200", "200 OK", "2e2", "99", "100", "103", "1000", "99999999999999999999",
	}
	for _, status := range statuses {
		s := p.stream(t.Context(), t)
		roundTrip(t, s, get7())
		reply := roundTrip(t, s, responseHeaders("via_upstream", false, ":status", status))
		if reply.GetModeOverride() != nil && status != "1000" {
			t.Errorf("status %q: a body is requested", status)
		}
		if status != "1000" {
			if r := <-p.reports; r.Outcome.Disposition != enrich.Passed {
				t.Errorf("status %q: report %+v", status, r)
			}
		}
	}
}

// TestDeepCore: the cost of a core depends on its length, not its depth.
func TestDeepCore(t *testing.T) {
	p := newPeer(t, storetest.Mem{})
	for _, depth := range []int{100_000, 400_000} {
		for _, brackets := range []string{"[]", "{}"} {
			opening, closing := brackets[:1], brackets[1:]
			if opening == "{" {
				opening = `{"a":`
			}
			body := strings.Repeat(opening, depth) + "1" + strings.Repeat(closing, depth)
			s := p.stream(t.Context(), t)
			roundTrip(t, s, get7())
			roundTrip(t, s, responseHeaders("via_upstream", false, ":status", "200"))
			core := fmt.Sprintf(`{"userId":7,"username":"u","email":"e","createdAt":"c","x":%s}`, body)
			roundTrip(t, s, responseBody(core, true))
			r := <-p.reports
			want := enrich.Outcome{Disposition: enrich.Degraded, Reason: enrich.CoreInvalid}
			if len(body) < 1<<20 && r.Outcome != want {
				t.Errorf("%d deep %s: report %+v", depth, brackets, r)
			}
		}
	}
}
