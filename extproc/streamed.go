package extproc

import (
	"io"
	"slices"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"

	"weft/enrich"
)

// continueStreamed changes the headers of the response, which Envoy then sends to the client, and requests the body in
// chunks (STREAMED).
func (x *exchange) continueStreamed(change enrich.Headers) {
	x.streamed = true
	x.send(&reply{to: responseHeaders, change: change, mode: filterv3.ProcessingMode_STREAMED})
}

// streamedBody reads the body of a streamed response and forwards it: reading a chunk replies to it, except for the
// last one.
type streamedBody struct {
	exchange *exchange
	rule     *enrich.Rule
	start    []byte // beginning of the body, until it is longer than a byte order mark, which chunks may split
	begun    bool   // the prefix was sent
	last     bool
	chunk    []byte // the last chunk received, as the client gets it
	unread   []byte // the unread part of the chunk, as it was received
}

// Read implements [io.Reader].
func (b *streamedBody) Read(p []byte) (int, error) {
	for len(b.unread) == 0 {
		if b.last {
			return 0, io.EOF
		}
		x := b.exchange
		m, ok := x.receive(responseBody)
		if !ok {
			return 0, x.err
		}
		b.unread, b.last = m.GetResponseBody().GetBody(), m.GetResponseBody().GetEndOfStream()
		x.report.CoreSize += len(b.unread)
		b.chunk = b.unread
		r := &reply{to: responseBody}
		if !b.begun {
			b.start = append(b.start, b.chunk...)
			b.begun = b.last || len(b.start) >= len(enrich.ByteOrderMark)
			b.chunk = nil
			if b.begun {
				b.chunk = slices.Concat(b.rule.StreamPrefix(b.start))
			}
			r.newBody, r.body = true, b.chunk
		}
		if !b.last {
			x.send(r)
		}
	}
	n := copy(p, b.unread)
	b.unread = b.unread[n:]
	return n, nil
}
