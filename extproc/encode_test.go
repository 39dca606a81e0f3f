package extproc

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
)

// TestReply compares what is written with what go-control-plane's types make of it.
func TestReply(t *testing.T) {
	change := enrich.Headers{Remove: []string{"range", "etag"}, Set: []enrich.Header{{Name: "x-weft", Value: "composed"}, {Name: "empty", Value: ""}}}
	mutation := &extprocv3.HeaderMutation{
		RemoveHeaders: []string{"range", "etag"},
		SetHeaders: []*corev3.HeaderValueOption{
			{Header: &corev3.HeaderValue{Key: "x-weft", RawValue: []byte("composed")}, AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD},
			{Header: &corev3.HeaderValue{Key: "empty"}, AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD},
		},
	}
	long := bytes.Repeat([]byte("long "), 1<<16)
	ofBody := func(r *extprocv3.CommonResponse) *extprocv3.ProcessingResponse {
		return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: &extprocv3.BodyResponse{Response: r}}}
	}
	body := func(b []byte) *extprocv3.BodyMutation {
		return &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: b}}
	}
	for name, test := range map[string]struct {
		reply reply
		want  *extprocv3.ProcessingResponse
	}{
		"request headers": {
			reply{to: requestHeaders, change: change},
			&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{
				RequestHeaders: &extprocv3.HeadersResponse{Response: &extprocv3.CommonResponse{HeaderMutation: mutation}},
			}},
		},
		"response headers, and a body is asked for": {
			reply{to: responseHeaders, mode: filterv3.ProcessingMode_BUFFERED_PARTIAL},
			&extprocv3.ProcessingResponse{
				Response: &extprocv3.ProcessingResponse_ResponseHeaders{
					ResponseHeaders: &extprocv3.HeadersResponse{Response: &extprocv3.CommonResponse{}},
				},
				ModeOverride: &filterv3.ProcessingMode{
					RequestHeaderMode: filterv3.ProcessingMode_SEND, ResponseHeaderMode: filterv3.ProcessingMode_SEND,
					ResponseBodyMode: filterv3.ProcessingMode_BUFFERED_PARTIAL,
				},
			},
		},
		"what is so already is left out": {
			reply{to: requestHeaders, change: change, of: &message{headers: []header{{[]byte("etag"), []byte("1")}, {[]byte("x-weft"), []byte("composed")}}}},
			&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{
				RequestHeaders: &extprocv3.HeadersResponse{Response: &extprocv3.CommonResponse{HeaderMutation: &extprocv3.HeaderMutation{
					RemoveHeaders: []string{"etag"}, SetHeaders: mutation.GetSetHeaders()[1:],
				}}},
			}},
		},
		"a header that is there twice is set": {
			reply{to: requestHeaders, change: enrich.Headers{Set: change.Set[:1]}, of: &message{headers: []header{{[]byte("x-weft"), []byte("composed")}, {[]byte("x-weft"), []byte("composed")}}}},
			&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{
				RequestHeaders: &extprocv3.HeadersResponse{Response: &extprocv3.CommonResponse{HeaderMutation: &extprocv3.HeaderMutation{
					SetHeaders: mutation.GetSetHeaders()[:1],
				}}},
			}},
		},
		"nothing is left": {
			reply{to: requestHeaders, change: enrich.Headers{Remove: []string{"range"}}, of: &message{}},
			&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{
				RequestHeaders: &extprocv3.HeadersResponse{Response: &extprocv3.CommonResponse{}},
			}},
		},
		"response headers replaced": {
			reply{to: responseHeaders, replace: true, change: change, newBody: true, body: []byte("{}")},
			&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseHeaders{
				ResponseHeaders: &extprocv3.HeadersResponse{Response: &extprocv3.CommonResponse{
					Status: extprocv3.CommonResponse_CONTINUE_AND_REPLACE, HeaderMutation: mutation, BodyMutation: body([]byte("{}")),
				}},
			}},
		},
		"body unchanged": {reply{to: responseBody}, ofBody(&extprocv3.CommonResponse{})},
		"body marked":    {reply{to: responseBody, change: change}, ofBody(&extprocv3.CommonResponse{HeaderMutation: mutation})},
		"body replaced": {
			reply{to: responseBody, change: change, newBody: true, body: long},
			ofBody(&extprocv3.CommonResponse{HeaderMutation: mutation, BodyMutation: body(long)}),
		},
		"told to Envoy": {
			reply{to: responseBody, timing: "legacy;dur=1", newBody: true, body: long, mode: filterv3.ProcessingMode_STREAMED, report: &enrich.Report{
				Rule: "user", Outcome: enrich.Outcome{Disposition: enrich.Degraded, Reason: enrich.CoreInvalid, Also: enrich.ExtensionFailed},
				Times: enrich.Times{Began: time.Unix(0, 0), Legacy: 20*time.Millisecond + 1499, Read: time.Second, Added: 300 * time.Microsecond},
			}},
			&extprocv3.ProcessingResponse{
				Response: ofBody(&extprocv3.CommonResponse{BodyMutation: body(long), HeaderMutation: &extprocv3.HeaderMutation{
					SetHeaders: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "server-timing", RawValue: []byte("legacy;dur=1")}, Append: wrapperspb.Bool(true)}},
				}}).Response,
				ModeOverride: &filterv3.ProcessingMode{
					RequestHeaderMode: filterv3.ProcessingMode_SEND, ResponseHeaderMode: filterv3.ProcessingMode_SEND,
					ResponseBodyMode: filterv3.ProcessingMode_STREAMED,
				},
				DynamicMetadata: metadataOf(map[string]any{
					"rule": "user", "verdict": "degraded", "reason": "core-invalid+extension-failed",
					"legacy_ms": 20.001, "mongodb_ms": 1000.0, "added_ms": 0.3,
				}),
			},
		},
		"told to Envoy, with no clock": {
			reply{to: responseBody, report: &enrich.Report{Rule: "user", Outcome: enrich.Outcome{Disposition: enrich.Composed}}},
			&extprocv3.ProcessingResponse{
				Response:        ofBody(&extprocv3.CommonResponse{}).Response,
				DynamicMetadata: metadataOf(map[string]any{"rule": "user", "verdict": "composed"}),
			},
		},
		"body emptied": {reply{to: responseBody, newBody: true}, ofBody(&extprocv3.CommonResponse{BodyMutation: body(nil)})},
		"at once": {
			reply{status: 503, change: change, newBody: true, body: []byte("{}")},
			&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ImmediateResponse{
				ImmediateResponse: &extprocv3.ImmediateResponse{
					Status: &typev3.HttpStatus{Code: 503}, Headers: mutation, Body: []byte("{}"), Details: "weft",
				},
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := &extprocv3.ProcessingResponse{}
			if err := proto.Unmarshal(encoded(&test.reply), got); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(got, test.want) {
				t.Errorf("got %.500v\nwant %.500v", got, test.want)
			}
			if unknown := got.ProtoReflect().GetUnknown(); len(unknown) > 0 {
				t.Errorf("it has fields that are none: %x", unknown)
			}
		})
	}
}

func metadataOf(fields map[string]any) *structpb.Struct {
	s, err := structpb.NewStruct(map[string]any{MetadataNamespace: fields})
	if err != nil {
		panic(err)
	}
	return s
}

func encoded(r *reply) []byte {
	head, body := r.encode()
	return slices.Concat(head, body)
}

// TestReplyRoom writes replies whose names and values are at the borders of lengths of lengths.
func TestReplyRoom(t *testing.T) {
	for _, n := range []int{0, 1, 126, 127, 128, 129, 16_382, 16_383, 16_384, 1 << 21} {
		value := string(bytes.Repeat([]byte{'v'}, n))
		r := reply{to: responseBody, mode: filterv3.ProcessingMode_STREAMED, newBody: true, body: []byte(value)}
		if rand.IntN(2) == 0 {
			r.timing = value
			r.report = &enrich.Report{Rule: value, Outcome: enrich.Outcome{Disposition: "d", Reason: "r", Also: "a"}, Times: enrich.Times{Began: time.Now(), Read: 1}}
		}
		for range rand.IntN(4) {
			r.change.Set = append(r.change.Set, enrich.Header{Name: "n", Value: value})
			r.change.Remove = append(r.change.Remove, value)
		}
		got := &extprocv3.ProcessingResponse{}
		if err := proto.Unmarshal(encoded(&r), got); err != nil {
			t.Fatal(err)
		}
		m := got.GetResponseBody().GetResponse().GetHeaderMutation()
		sets := len(r.change.Set)
		if r.timing != "" {
			sets++
		}
		if len(m.GetSetHeaders()) != sets || !slices.Equal(m.GetRemoveHeaders(), r.change.Remove) {
			t.Errorf("%d: %d headers set, %d removed", n, len(m.GetSetHeaders()), len(m.GetRemoveHeaders()))
		}
		if body := got.GetResponseBody().GetResponse().GetBodyMutation().GetBody(); string(body) != value {
			t.Errorf("%d: a body of %d bytes", n, len(body))
		}
	}
}

// FuzzDecode takes any bytes for a message. What protobuf can read, decode reads, and it finds the same in it.
func FuzzDecode(f *testing.F) {
	attributes, err := structpb.NewStruct(map[string]any{codeDetails: "via_upstream", "response.code": 200, "more": []any{"x"}})
	if err != nil {
		f.Fatal(err)
	}
	pairs := &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":path", RawValue: []byte("/\xff")}, {Key: "old", Value: "v"}, {}}}
	for _, seed := range []*extprocv3.ProcessingRequest{
		{},
		{Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{Headers: pairs}}},
		{
			Request:    &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extprocv3.HttpHeaders{Headers: pairs, EndOfStream: true}},
			Attributes: map[string]*structpb.Struct{filterName: attributes, "other": attributes},
		},
		{Request: &extprocv3.ProcessingRequest_ResponseBody{ResponseBody: &extprocv3.HttpBody{Body: []byte("{}"), EndOfStream: true}}},
		{Request: &extprocv3.ProcessingRequest_RequestBody{RequestBody: &extprocv3.HttpBody{}}},
		{Request: &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{Trailers: pairs}}},
		{
			ProtocolConfig:  &extprocv3.ProtocolConfiguration{RequestBodyMode: 1, ResponseBodyMode: 4},
			MetadataContext: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{JWTMetadata: attributes}},
		},
	} {
		data, err := proto.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(append(data, data...)) // all fields twice
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got message
		gotErr := got.decode(data)
		want := &extprocv3.ProcessingRequest{}
		if err := proto.Unmarshal(data, want); err != nil {
			return // decode does not look at all of it
		}
		if gotErr != nil {
			t.Fatalf("%v; but it is %v", gotErr, want)
		}
		sameMessage(t, &got, want)
	})
}

func sameMessage(t *testing.T, got *message, want *extprocv3.ProcessingRequest) {
	var wantKind kind
	if m := want.ProtoReflect(); m.WhichOneof(m.Descriptor().Oneofs().ByName("request")) != nil {
		wantKind = kind(m.WhichOneof(m.Descriptor().Oneofs().ByName("request")).Number())
	}
	if got.kind != wantKind {
		t.Errorf("kind %v, want %v", got.kind, wantKind)
	}
	head, body := want.GetRequestHeaders(), want.GetResponseBody()
	if head == nil {
		head = want.GetResponseHeaders()
	}
	if body == nil {
		body = want.GetRequestBody()
	}
	same := func(h header, w *corev3.HeaderValue) bool {
		value := w.GetRawValue()
		if len(value) == 0 {
			value = []byte(w.GetValue())
		}
		return string(h.name) == w.GetKey() && bytes.Equal(h.value, value)
	}
	if !slices.EqualFunc(got.headers, head.GetHeaders().GetHeaders(), same) {
		t.Errorf("headers %s, want %v", got.headers, head)
	}
	if !bytes.Equal(got.body, body.GetBody()) || got.endOfStream != (head.GetEndOfStream() || body.GetEndOfStream()) {
		t.Errorf("body %q, end of stream %t, want %v, %v", got.body, got.endOfStream, head, body)
	}
	if config := want.GetProtocolConfig(); got.requestBodies != config.GetRequestBodyMode() || got.responseBodies != config.GetResponseBodyMode() {
		t.Errorf("modes %v and %v, want %v", got.requestBodies, got.responseBodies, config)
	}
	if details := want.GetAttributes()[filterName].GetFields()[codeDetails].GetStringValue(); string(got.codeDetails) != details {
		t.Errorf("details %q, want %q", got.codeDetails, details)
	}
	md := &corev3.Metadata{}
	if err := proto.Unmarshal(got.metadata, md); err != nil || want.GetMetadataContext() != nil && !proto.Equal(md, want.GetMetadataContext()) {
		t.Errorf("metadata %v, %v, want %v", md, err, want.GetMetadataContext())
	}
}
