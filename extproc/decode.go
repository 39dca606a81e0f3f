package extproc

import (
	"errors"
	"unicode/utf8"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	"google.golang.org/protobuf/encoding/protowire"

	"weft/internal/grpcloop"
)

// message is a ProcessingRequest (envoy/service/ext_proc/v3/external_processor.proto), as far as weft reads it. Its bytes
// are parts of what was received and are never changed.
type message struct {
	raw  []byte // all of it
	kind kind

	headers     []header // of request_headers and response_headers
	body        []byte   // of request_body and response_body
	endOfStream bool

	observed bool // observability_mode: Envoy does not wait for replies

	codeDetails    []byte                               // the attribute response.code_details; nil if there is none
	metadata       []byte                               // metadata_context, as it is
	requestBodies  filterv3.ProcessingMode_BodySendMode // protocol_config
	responseBodies filterv3.ProcessingMode_BodySendMode
}

// release gives the bytes back. Nothing of the message may be used any more.
func (m *message) release() {
	grpcloop.Release(m.raw)
	*m = message{}
}

// kind is which member of its oneof a message has: the number of that field.
type kind protowire.Number

const (
	requestHeaders   kind = 2
	responseHeaders  kind = 3
	requestBody      kind = 4
	responseBody     kind = 5
	requestTrailers  kind = 6
	responseTrailers kind = 7
)

func (k kind) String() string {
	switch k {
	case requestHeaders:
		return "request_headers"
	case responseHeaders:
		return "response_headers"
	case requestBody:
		return "request_body"
	case responseBody:
		return "response_body"
	case requestTrailers:
		return "request_trailers"
	case responseTrailers:
		return "response_trailers"
	default:
		return "nothing"
	}
}

// header is one header field. Envoy sends names in lower case, and what is not UTF-8 in a value, too.
type header struct{ name, value []byte }

var errNotUTF8 = errors.New("proto: a string is not UTF-8")

// decode reads a message. Where a field comes twice, the rules of protobuf hold (the last one, or for messages both merged),
// with one exception: an attribute that comes twice is not merged.
func (m *message) decode(b []byte) error {
	*m = message{raw: b}
	return eachField(b, func(f field) error {
		switch f.tag {
		case bytesTag(2), bytesTag(3), bytesTag(4), bytesTag(5), bytesTag(6), bytesTag(7):
			if k := kind(f.tag >> 3); k != m.kind {
				m.kind, m.headers, m.body, m.endOfStream = k, nil, nil, false
			}
			switch m.kind {
			case requestHeaders, responseHeaders:
				return m.decodeHeaders(f.bytes)
			case requestBody, responseBody:
				return m.decodeBody(f.bytes)
			}
		case bytesTag(8):
			m.metadata = merge(m.metadata, f.bytes)
		case bytesTag(9):
			return m.decodeAttribute(f.bytes)
		case varintTag(10):
			m.observed = protowire.DecodeBool(f.varint)
		case bytesTag(11):
			return m.decodeProtocolConfig(f.bytes)
		}
		return nil
	})
}

// decodeHeaders reads an HttpHeaders, and of it the HeaderMap and its HeaderValues.
func (m *message) decodeHeaders(b []byte) error {
	return eachField(b, func(f field) error {
		switch f.tag {
		case bytesTag(1):
			return eachField(f.bytes, func(f field) error {
				if f.tag != bytesTag(1) {
					return nil
				}
				if m.headers == nil {
					m.headers = make([]header, 0, 8)
				}
				h, err := decodeHeader(f.bytes)
				m.headers = append(m.headers, h)
				return err
			})
		case varintTag(3):
			m.endOfStream = protowire.DecodeBool(f.varint)
		}
		return nil
	})
}

func decodeHeader(b []byte) (h header, err error) {
	var text, raw []byte
	err = eachField(b, func(f field) error {
		switch f.tag {
		case bytesTag(1):
			h.name = f.bytes
		case bytesTag(2):
			text = f.bytes
		case bytesTag(3):
			raw = f.bytes
		}
		return nil
	})
	if err == nil && (!utf8.Valid(h.name) || !utf8.Valid(text)) {
		err = errNotUTF8
	}
	// Envoy sends raw_value; value is for processors of an older protocol.
	if h.value = raw; len(raw) == 0 {
		h.value = text
	}
	return h, err
}

// decodeBody reads an HttpBody.
func (m *message) decodeBody(b []byte) error {
	return eachField(b, func(f field) error {
		switch f.tag {
		case bytesTag(1):
			m.body = f.bytes
		case varintTag(2):
			m.endOfStream = protowire.DecodeBool(f.varint)
		}
		return nil
	})
}

// decodeAttribute reads an entry of the attributes: the name of a filter, and a Struct.
func (m *message) decodeAttribute(b []byte) error {
	name, attributes, err := decodeEntry(b)
	if err != nil || string(name) != filterName {
		return err
	}
	m.codeDetails = nil
	return eachField(attributes, func(f field) error {
		if f.tag != bytesTag(1) {
			return nil
		}
		name, value, err := decodeEntry(f.bytes)
		if err != nil || string(name) != codeDetails {
			return err
		}
		m.codeDetails = nil
		return eachField(value, func(f field) error {
			switch f.tag {
			case bytesTag(3): // string_value
				m.codeDetails = f.bytes
			case varintTag(1), varintTag(4), protowire.EncodeTag(2, protowire.Fixed64Type), bytesTag(5), bytesTag(6):
				m.codeDetails = nil
			}
			return nil
		})
	})
}

// decodeEntry reads an entry of a map.
func decodeEntry(b []byte) (key, value []byte, err error) {
	err = eachField(b, func(f field) error {
		switch f.tag {
		case bytesTag(1):
			key = f.bytes
		case bytesTag(2):
			value = merge(value, f.bytes)
		}
		return nil
	})
	return key, value, err
}

// merge makes one message of two.
func merge(a, b []byte) []byte {
	if a == nil {
		return b
	}
	return append(a[:len(a):len(a)], b...)
}

func (m *message) decodeProtocolConfig(b []byte) error {
	return eachField(b, func(f field) error {
		switch f.tag {
		case varintTag(1):
			m.requestBodies = filterv3.ProcessingMode_BodySendMode(int32(f.varint))
		case varintTag(2):
			m.responseBodies = filterv3.ProcessingMode_BodySendMode(int32(f.varint))
		}
		return nil
	})
}

// field is a field of a message, with the value that its wire type has.
type field struct {
	tag    uint64 // number and wire type
	bytes  []byte // of a string, bytes or a message; not nil for these
	varint uint64 // of a number, a bool or an enum
}

func bytesTag(n protowire.Number) uint64  { return protowire.EncodeTag(n, protowire.BytesType) }
func varintTag(n protowire.Number) uint64 { return protowire.EncodeTag(n, protowire.VarintType) }

// eachField calls visit for the fields of a message, in their order.
func eachField(b []byte, visit func(field) error) error {
	for len(b) > 0 {
		number, wireType, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		f := field{tag: protowire.EncodeTag(number, wireType)}
		switch wireType {
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(number, wireType, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}
