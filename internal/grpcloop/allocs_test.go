package grpcloop_test

import (
	"bytes"
	"io"
	"testing"

	"golang.org/x/net/http2"

	"weft/internal/grpcloop"
)

// turns returns what has a message said, and its echo heard, on a stream that is there already. It is for as few as need no credit.
func turns(t *testing.T) func() {
	w := newWorld(t, &grpcloop.Server{})
	near, far := socketPair(t)
	w.listener.accepted <- far
	t.Cleanup(func() { _ = near.Close() })
	c := newClient(t, near)
	c.raw([]byte(http2.ClientPreface))
	c.ok(c.WriteSettings(window(1<<31 - 1)))
	c.ok(c.WriteWindowUpdate(0, 1<<30))
	c.open(1, "/t/echo")
	c.say(1, "first")
	for heard := false; !heard; {
		f, err := c.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		_, heard = f.(*http2.DataFrame)
	}
	var message bytes.Buffer
	if err := http2.NewFramer(&message, nil).WriteData(1, false, framed("hello")); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, message.Len())
	return func() {
		c.raw(message.Bytes())
		if _, err := io.ReadFull(near, echo); err != nil || !bytes.Equal(echo, message.Bytes()) {
			t.Fatalf("got %q, %v", echo, err)
		}
	}
}

// TestAllocations: a message costs its own bytes, its place in the inbox, and the prefix of the answer.
func TestAllocations(t *testing.T) {
	if n := testing.AllocsPerRun(1000, turns(t)); n > 3 {
		t.Errorf("%v allocations for a message and its echo", n)
	}
}
