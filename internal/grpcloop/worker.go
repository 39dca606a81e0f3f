package grpcloop

import "iter"

// maxIdle is how many workers of a connection wait for the next stream.
const maxIdle = 256

// worker is a coroutine that runs handlers, one after the other: to make one, and to have its stack grow, would cost more than most
// conversations.
type worker struct {
	stream *Stream
	resume func() (pause, bool)
	stop   func()
	pause  func(pause) bool // what resume returns next
}

func newWorker() *worker {
	w := &worker{}
	w.resume, w.stop = iter.Pull(func(yield func(pause) bool) {
		w.pause = yield
		for {
			w.stream.status = w.stream.handler(w.stream)
			if !yield(returned) {
				return
			}
		}
	})
	return w
}

// goOn has the handler run until it suspends itself or returns.
func (w *worker) goOn() pause {
	why, _ := w.resume()
	return why
}

// suspend is for the handler: it returns when goOn is called the next time.
func (w *worker) suspend(why pause) { w.pause(why) }

// employ gives a stream a worker. The lock is held.
func (c *conn) employ(s *Stream) {
	if n := len(c.idle); n > 0 {
		s.worker = c.idle[n-1]
		c.idle = c.idle[:n-1]
	} else {
		s.worker = newWorker()
	}
	s.worker.stream = s
}

// dismiss takes the worker of a stream whose handler has returned. The lock is held.
func (c *conn) dismiss(s *Stream) {
	w := s.worker
	w.stream, s.worker = nil, nil
	if len(c.idle) < maxIdle && !c.closed {
		c.idle = append(c.idle, w)
		return
	}
	w.stop()
}
