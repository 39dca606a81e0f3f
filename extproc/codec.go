package extproc

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto" // registers the codec of all other messages
	"google.golang.org/grpc/mem"
)

// codec is gRPC's protobuf codec, but for the messages of an exchange: of a ProcessingRequest it reads no more than weft
// needs, and a ProcessingResponse is written without the Go structs in between. (make bench: a tenth of weft's CPU.)
type codec struct{ others encoding.CodecV2 }

func newCodec() codec { return codec{others: encoding.GetCodecV2(proto.Name)} }

// Name implements [encoding.CodecV2].
func (codec) Name() string { return proto.Name }

// Marshal implements [encoding.CodecV2].
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*reply); ok {
		return r.encode(), nil
	}
	return c.others.Marshal(v)
}

// Unmarshal implements [encoding.CodecV2].
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(*message); ok {
		// A copy of its own, which can be kept: gRPC takes its buffers back.
		return m.decode(data.Materialize())
	}
	return c.others.Unmarshal(data, v)
}
