package extproc

import (
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protowire"

	"weft/enrich"
)

// reply is a ProcessingResponse (envoy/service/ext_proc/v3/external_processor.proto), as far as weft makes use of it.
type reply struct {
	to kind // of the message that it answers; 0 is an ImmediateResponse

	change  enrich.Headers
	of      *message // whose headers are changed, all that could matter: what is so already is left out; nil if they are not known
	newBody bool     // prefix and body take the place of what was there
	prefix  []byte
	body    []byte
	replace bool // CONTINUE_AND_REPLACE
	status  int  // of an ImmediateResponse

	timing string         // a server-timing header, beside those that are there; empty for none
	report *enrich.Report // told to Envoy, for its access log; nil for nothing

	mode filterv3.ProcessingMode_BodySendMode // for the body of the response; 0 (NONE) overrides nothing
}

// encode returns the reply in protobuf's wire format, in two parts: the body, which is the last field, is not copied.
func (r *reply) encode() (head, body []byte) {
	w := backward{buf: make([]byte, r.room()), tail: len(r.body)}
	w.at = len(w.buf) - len(r.prefix)
	copy(w.buf[w.at:], r.prefix)
	if r.to == 0 {
		r.encodeImmediate(&w)
	} else {
		r.encodeCommon(&w)
	}
	if r.mode != 0 {
		end := w.len()
		w.enum(4, int32(r.mode)) // response_body_mode
		w.enum(2, int32(filterv3.ProcessingMode_SEND))
		w.enum(1, int32(filterv3.ProcessingMode_SEND))
		w.message(9, end) // mode_override
	}
	if r.report != nil {
		w.metadata(r.report)
	}
	return w.buf[w.at:], r.body
}

// encodeCommon writes the HeadersResponse or BodyResponse, and the CommonResponse in it.
func (r *reply) encodeCommon(w *backward) {
	const whole = 0 // the end of what has the body at its end
	if r.newBody {
		w.message(1, whole) // body
		w.message(3, whole) // body_mutation
	}
	if len(r.change.Set)+len(r.change.Remove) > 0 || r.timing != "" {
		end := w.len()
		w.mutation(r)
		if w.len() > end {
			w.message(2, end) // header_mutation
		}
	}
	if r.replace {
		w.enum(1, int32(extprocv3.CommonResponse_CONTINUE_AND_REPLACE))
	}
	w.message(1, whole) // response
	// The replies have the numbers of the messages that they answer, less one.
	w.message(protowire.Number(r.to)-1, whole)
}

func (r *reply) encodeImmediate(w *backward) {
	const whole = 0
	w.message(3, whole) // body
	end := w.len()
	w.mutation(r)
	w.message(2, end) // headers
	end = w.len()
	w.enum(1, int32(r.status))
	w.message(1, end)   // status
	w.string(5, "weft") // details
	w.message(7, whole)
}

// room returns how many bytes an encoded reply has at most, without its body.
func (r *reply) room() int {
	const lengths = 10 // tag and length of a field
	n := len(r.prefix) + 17*lengths + len(timingHeader) + len(r.timing)
	if r.report != nil {
		n += metadataRoom(r.report)
	}
	for _, h := range r.change.Set {
		n += len(h.Name) + len(h.Value) + 5*lengths
	}
	for _, name := range r.change.Remove {
		n += len(name) + lengths
	}
	return n
}

// backward writes protobuf from the end to the beginning: so the length of a message is known when its head is written.
type backward struct {
	buf  []byte
	at   int // where in buf that begins which is written
	tail int // length of what follows buf
}

// len returns how long the rest is, from here to the end.
func (w *backward) len() int { return len(w.buf) - w.at + w.tail }

func (w *backward) varint(v uint64) {
	w.at -= protowire.SizeVarint(v)
	protowire.AppendVarint(w.buf[w.at:w.at], v)
}

func (w *backward) length(n int) { w.varint(uint64(n)) }

func (w *backward) tag(number protowire.Number, t protowire.Type) {
	w.varint(protowire.EncodeTag(number, t))
}

func (w *backward) enum(number protowire.Number, v int32) {
	w.varint(uint64(v))
	w.tag(number, protowire.VarintType)
}

func (w *backward) string(number protowire.Number, s string) {
	w.at -= len(s)
	copy(w.buf[w.at:], s)
	w.length(len(s))
	w.tag(number, protowire.BytesType)
}

// message writes the head of a message: of what was written since len was end.
func (w *backward) message(number protowire.Number, end int) {
	w.length(w.len() - end)
	w.tag(number, protowire.BytesType)
}

// timingHeader is the one header that is added to what is there: the legacy service may have one, too.
const timingHeader = "server-timing"

// mutation writes what is in a HeaderMutation.
func (w *backward) mutation(r *reply) {
	for i := len(r.change.Remove) - 1; i >= 0; i-- {
		if name := r.change.Remove[i]; r.of == nil || r.of.has(name) {
			w.string(2, name)
		}
	}
	if r.timing != "" {
		// An external processor's append_action of 0, which would append, is to Envoy one that is not set: it overwrites.
		w.header(timingHeader, r.timing, func() {
			end := w.len()
			w.enum(1, 1)
			w.message(2, end) // append
		})
	}
	for i := len(r.change.Set) - 1; i >= 0; i-- {
		h := r.change.Set[i]
		if r.of != nil && r.of.has(h.Name, h.Value) {
			continue
		}
		w.header(h.Name, h.Value, func() {
			w.enum(3, int32(corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)) // append_action
		})
	}
}

// header writes a HeaderValueOption. action writes what is to become of a header that is there.
func (w *backward) header(name, value string, action func()) {
	end := w.len()
	action()
	header := w.len()
	w.string(3, value) // raw_value
	w.string(1, name)
	w.message(1, header)
	w.message(1, end)
}
