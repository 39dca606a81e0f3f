package extproc

import (
	"io"
	"net/http"
	"strconv"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"

	"weft/enrich"
)

// continueStreamed changes the head of the response, which then goes to the client, and asks for the body in chunks
// (STREAMED).
func (x *exchange) continueStreamed(change enrich.Headers) {
	change.Set = append(change.Set, enrich.Header{Name: ":status", Value: strconv.Itoa(http.StatusOK)})
	x.streamed = true
	x.send(&reply{to: responseHeaders, change: change, mode: filterv3.ProcessingMode_STREAMED})
}

// streamedBody reads the body of a streamed response and passes it on: reading a chunk answers the one before. The last
// chunk is answered by end.
type streamedBody struct {
	exchange *exchange
	rule     *enrich.Rule
	begun    bool
	last     bool
	prefix   []byte // what goes before the chunk that came last
	chunk    []byte // that chunk
	unread   []byte // the rest of it, as it came
}

// Read implements [io.Reader].
func (b *streamedBody) Read(p []byte) (int, error) {
	for len(b.unread) == 0 {
		if b.last {
			return 0, io.EOF
		}
		x := b.exchange
		if !x.receive(&x.body, responseBody) {
			return 0, x.err
		}
		x.report.CoreSize += len(x.body.body)
		b.chunk, b.unread, b.last = x.body.body, x.body.body, x.body.endOfStream
		first := !b.begun
		if b.begun, b.prefix = true, nil; first {
			b.prefix, b.chunk = b.rule.StreamPrefix(b.chunk)
		}
		switch {
		case b.last: // end answers it
		case first:
			x.send(&reply{to: responseBody, newBody: true, prefix: b.prefix, body: b.chunk})
		default:
			x.send(&reply{to: responseBody})
		}
	}
	n := copy(p, b.unread)
	b.unread = b.unread[n:]
	return n, nil
}

// end sends the last chunk with what follows it.
func (b *streamedBody) end(suffix []byte, outcome enrich.Outcome) {
	last := append(b.chunk[:len(b.chunk):len(b.chunk)], suffix...)
	b.exchange.sendLast(&reply{to: responseBody, newBody: true, prefix: b.prefix, body: last}, outcome)
}
