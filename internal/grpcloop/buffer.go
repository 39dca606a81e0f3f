package grpcloop

import (
	"slices"
	"sync"
)

const (
	large = 64 << 10     // from this size on the buffers of messages are used again
	first = streamWindow // no more than this is made before it is needed: as much may come at once anyway
)

var buffers sync.Pool //nolint:gochecknoglobals // of *[]byte, each of at least large; memory is the process's

// newMessage returns a buffer for a message. That all of it will come has only been said, so a large one grows as it comes.
func newMessage(size int) []byte {
	if size < large {
		return make([]byte, 0, size)
	}
	size = min(size, first)
	if b, ok := buffers.Get().(*[]byte); ok && cap(*b) >= size {
		return (*b)[:0]
	}
	return make([]byte, 0, size)
}

// grow makes room for n more bytes of a message, of which so many are missing.
func grow(message []byte, n, missing int) []byte {
	if len(message)+n <= cap(message) {
		return message
	}
	return slices.Grow(message, min(missing, max(n, len(message))))
}

// Release says that the bytes of a message, or what was sent, are not used any more. Nobody has to.
func Release(message []byte) {
	if cap(message) >= large {
		kept := message
		buffers.Put(&kept)
	}
}
