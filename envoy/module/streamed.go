package module

import (
	"io"
	"slices"
	"sync"

	"weft/enrich"
)

// streamedCore is the state of a response whose core is too large to buffer. Callbacks forward its parts, and a
// goroutine checks one part after the other. While it does, Envoy holds what follows in its buffer, and slows down the
// legacy service if the buffer is full.
//
//	Envoy                                weft
//	  OnResponse ────────────────────────▶  extensions have arrived ▶ new headers, Forward
//	  ◀───────────── Wait
//	  (a goroutine waits for MongoDB)
//	  OnScheduled ───────────────────────▶  new headers, Forward
//	  OnBody ────────────────────────────▶  check      invalid ──▶ Continue, and the rest of the body passes
//	  ◀───────────── Forward, with prefix; or Wait until the goroutine has checked the previous part
//	  OnBody, with the last part ────────▶  check
//	  ◀───────────── Wait
//	  OnBody ────────────────────────────▶  suffix, Continue
type streamedCore struct {
	found enrich.Found
	parts parts

	start []byte // beginning of the body, until it is longer than a byte order mark, which parts may split
	begun bool   // the prefix was sent
	part  []byte // the last part that has arrived; its memory is used again
	ended bool   // it is the last part of the body
}

// streamResponse waits for the extensions, whose outcome is in the headers.
func (f *Filter) streamResponse() Next {
	if f.read.Done() {
		return f.apply(f.await())
	}
	return f.wait(f.await)
}

// await waits for the extensions of a streamed response.
func (f *Filter) await() result {
	r := result{waitBegan: f.clock.Now()}
	found := f.read.Await(enrich.Core{}, f.budget)
	r.found, r.reads = &found, found.Reads
	return r
}

// startStream changes the headers, which Envoy then sends to the client.
func (f *Filter) startStream(found enrich.Found) Next {
	f.stream.ChangeResponse(f.rule.StreamHeaders(found))
	s := &streamedCore{found: found, parts: parts{stream: f.stream}}
	s.parts.changed.L = &s.parts.mu
	f.streamed = s
	f.wait(func() result { return result{core: f.rule.CheckCore(&s.parts)} })
	f.clock.Sends(&f.report.Times)
	return Forward
}

// forward forwards the part of the body that has arrived.
func (f *Filter) forward(isLast bool) Next {
	s := f.streamed
	if r, ok := f.takeResult(); ok {
		return f.endStream(r)
	}
	if s.ended || !s.parts.isRead() {
		return Wait
	}
	s.part, s.ended = f.stream.AppendBody(s.part[:0]), isLast
	f.report.CoreSize += len(s.part)
	if !s.begun && !isLast {
		f.begin()
	}
	s.parts.write(s.part, isLast)
	if isLast {
		return Wait
	}
	f.clock.Sends(&f.report.Times)
	return Forward
}

// begin replaces the first part by the prefix and the part. If the part is too short to know whether the body begins
// with a byte order mark, that is done with the next one.
func (f *Filter) begin() {
	s := f.streamed
	s.start = append(s.start, s.part...)
	s.begun = len(s.start) >= len(enrich.ByteOrderMark)
	var body []byte
	if s.begun {
		body = slices.Concat(f.rule.StreamPrefix(s.start))
	}
	f.report.AnswerSize += len(body) - len(s.part)
	f.stream.ReplaceBody(body)
}

// endStream adds the suffix to the last part. If the core is invalid, the rest of the body passes.
func (f *Filter) endStream(r result) Next {
	s := f.streamed
	if !s.begun && len(s.start) > 0 && (r.panicked != nil || r.core.Failed != "") { // begin has removed it
		f.stream.ReplaceBody(f.stream.AppendBody(s.start))
		f.report.AnswerSize += len(s.start)
	}
	if r.panicked != nil {
		panic(r.panicked)
	}
	f.clock.Sends(&f.report.Times)
	outcome, err := enrich.Outcome{Disposition: enrich.Streamed, Reason: r.core.Failed}, r.core.Err
	if r.core.Failed == "" {
		var suffix []byte
		suffix, outcome, err = f.rule.StreamSuffix(f.params, r.core, s.found)
		body := s.part
		if !s.begun {
			body = slices.Concat(f.rule.StreamPrefix(append(s.start, body...)))
		}
		body = slices.Concat(body, suffix)
		f.report.AnswerSize += len(body) - len(s.part)
		f.stream.ReplaceBody(body)
	}
	f.report.AnswerSize += f.report.CoreSize
	f.report.Outcome = outcome
	f.stream.SetMetadata(&f.report)
	f.finish(outcome, err)
	return Continue
}

// parts passes the parts of a body from callbacks, which must not block, to a goroutine.
type parts struct {
	stream Stream

	mu        sync.Mutex
	changed   sync.Cond
	unread    []byte
	isLast    bool
	isAwaited bool // call Schedule when the part has been read
	isClosed  bool
}

// isRead reports whether the goroutine has read the previous part. If it has not, Schedule is called when it has.
func (p *parts) isRead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isAwaited = len(p.unread) > 0
	return !p.isAwaited
}

// write must not be called before the previous part has been read.
func (p *parts) write(part []byte, isLast bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unread, p.isLast = part, isLast
	p.changed.Signal()
}

// close ends the goroutine.
func (p *parts) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isClosed = true
	p.changed.Signal()
}

// Read implements [io.Reader].
func (p *parts) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.unread) == 0 {
		switch {
		case p.isClosed:
			return 0, errDestroyed
		case p.isLast:
			return 0, io.EOF
		case p.isAwaited:
			p.isAwaited = false
			p.stream.Schedule()
		}
		p.changed.Wait()
	}
	n := copy(b, p.unread)
	p.unread = p.unread[n:]
	return n, nil
}
