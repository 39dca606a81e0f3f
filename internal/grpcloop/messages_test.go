package grpcloop_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/internal/grpcloop"
)

// TestMessages has messages cut into DATA frames in every way.
func TestMessages(t *testing.T) {
	three := slices.Concat(framed("one"), framed(""), framed(strings.Repeat("3", 300)))
	for _, cut := range []int{1, 2, 4, 5, 6, 7, 8, 9, 12, 13, 14, 100, len(three)} {
		t.Run(fmt.Sprint(cut, " bytes each"), func(t *testing.T) {
			w := newWorld(t, &grpcloop.Server{})
			var got []string
			w.handle("/t/listen", func(s *grpcloop.Stream) error {
				for {
					message, err := s.Receive()
					if err != nil {
						return err
					}
					got = append(got, string(message))
				}
			})
			c := w.greeted(t)
			c.open(1, "/t/listen")
			for part := range slices.Chunk(three, cut) {
				c.data(1, false, part)
			}
			c.data(1, true, nil)
			c.want("HEADERS 1 :status=200 grpc-status=2 grpc-message=EOF end")
			if want := []string{"one", "", strings.Repeat("3", 300)}; !slices.Equal(got, want) {
				t.Errorf("got %q", got)
			}
			if ends := w.ended("/t/listen"); len(ends) != 1 || !errors.Is(ends[0], io.EOF) {
				t.Errorf("the handler has ended with %v", ends)
			}
		})
	}
}

// TestBadMessages has messages come that are not taken: a handler is told once, and gets nothing of what follows.
func TestBadMessages(t *testing.T) {
	for _, test := range []struct {
		name string
		data []byte
		end  bool
		want string
	}{
		{"as large as may be", framed(strings.Repeat("x", 1000)), true, "grpc-status=0 end"},
		{"too large", framed(strings.Repeat("x", 1001)), true, "grpc-status=8 grpc-message=a message of 1001 bytes; 1000 are taken end"},
		{"far too large", []byte{0, 0xff, 0xff, 0xff, 0xff}, false, "grpc-status=8 grpc-message=a message of 4294967295 bytes; 1000 are taken end"},
		{"compressed", []byte("\x01\x00\x00\x00\x01x"), true, "grpc-status=12 grpc-message=compressed messages are not taken end"},
		{"cut off in its prefix", []byte{0, 0, 0}, true, "grpc-status=13 grpc-message=the other end has said all, but not all of a message end"},
		{"cut off", []byte("\x00\x00\x00\x00\x02x"), true, "grpc-status=13 grpc-message=the other end has said all, but not all of a message end"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, &grpcloop.Server{MaxMessage: 1000})
			c := w.greeted(t)
			c.open(1, "/t/echo")
			c.data(1, test.end, test.data)
			answers := c.answers()
			if last := answers[len(answers)-1]; !strings.HasSuffix(last, test.want) {
				t.Errorf("got %q\nwant %q", answers, test.want)
			}
		})
	}
}

// TestNothingAfterABadMessage: what follows a message that is not taken is not taken for messages.
func TestNothingAfterABadMessage(t *testing.T) {
	w := newWorld(t, &grpcloop.Server{MaxMessage: 10})
	wake := make(chan func(), 1)
	w.handle("/t/late", func(s *grpcloop.Stream) error {
		s.Await(0, func(f func()) { wake <- f })
		for {
			message, err := s.Receive()
			if err != nil {
				return err
			}
			if err := s.Send(message, nil); err != nil {
				return err
			}
		}
	})
	c := w.greeted(t)
	c.open(1, "/t/late")
	c.say(1, "good")
	c.data(1, false, slices.Concat(framed("this one is too large"), framed("evil")))
	c.data(1, false, framed("evil"))
	c.data(1, true, nil)
	c.want()
	(<-wake)()
	c.wantNext("HEADERS 1 "+head, `DATA 1 "\x00\x00\x00\x00\x04good"`, "HEADERS 1 grpc-status=8 grpc-message=a message of 21 bytes; 10 are taken end")
}

// TestMetadata: what came as a stream began is still there when others have come.
func TestMetadata(t *testing.T) {
	w := newWorld(t, &grpcloop.Server{})
	w.handle("/t/metadata", func(s *grpcloop.Stream) error {
		for {
			message, err := s.Receive()
			if err != nil {
				return nil
			}
			n, value := s.Metadata(string(message))
			if err := s.Send([]byte(fmt.Sprint(n)), []byte(value)); err != nil {
				return err
			}
		}
	})
	c := w.greeted(t)
	c.headers(1, false, append(request("/t/metadata"), "once", "1", "twice", "1", "twice", "2")...)
	for id := uint32(3); id < 63; id += 2 {
		c.headers(id, false, append(request("/t/wait"), "once", "evil", "twice", "evil")...)
	}
	c.say(1, "once")
	c.say(1, "twice")
	c.say(1, "never")
	c.want("HEADERS 1 "+head, `DATA 1 "\x00\x00\x00\x00\x0211"`, `DATA 1 "\x00\x00\x00\x00\x0222"`, `DATA 1 "\x00\x00\x00\x00\x010"`)
}

// TestStatus: what a handler returns is how gRPC spells it.
func TestStatus(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"none", nil, "grpc-status=0"},
		{"plain", status.Error(codes.NotFound, "no such thing"), "grpc-status=5 grpc-message=no such thing"},
		{"wrapped", fmt.Errorf("why: %w", status.Error(codes.NotFound, "no such thing")), "grpc-status=5 grpc-message=why: rpc error: code = NotFound desc = no such thing"},
		{"no status", errors.New("100% ünknown\n%"), "grpc-status=2 grpc-message=100%25 %C3%BCnknown%0A%25"},
		{"no UTF-8", errors.New("\xff~ "), "grpc-status=2 grpc-message=%FF~ "},
		{"very long", errors.New(strings.Repeat("ü", 2000)), "grpc-status=2 grpc-message=" + strings.Repeat("%C3%BC", 512)},
		{"cut between letters", errors.New("x" + strings.Repeat("ü", 2000)), "grpc-status=2 grpc-message=x" + strings.Repeat("%C3%BC", 511)},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, &grpcloop.Server{})
			w.handle("/t/fail", func(*grpcloop.Stream) error { return test.err })
			c := w.greeted(t)
			c.headers(1, true, request("/t/fail")...)
			c.want("HEADERS 1 :status=200 " + test.want + " end")
		})
	}
}

// TestBuffers: a message is the handler's until it is released, however many others come in the meantime.
func TestBuffers(t *testing.T) {
	w := newWorld(t, &grpcloop.Server{})
	w.handle("/t/keep", func(s *grpcloop.Stream) error {
		var kept [][]byte
		for {
			message, err := s.Receive()
			if err != nil {
				break
			}
			if kept = append(kept, message); len(kept)%3 == 0 {
				if err := s.Send(kept[0][:1], nil); err != nil {
					return err
				}
				grpcloop.Release(kept[0])
				kept = kept[1:]
			}
		}
		for i, message := range kept[1:] {
			if want := kept[0][0] + byte(i) + 1; !bytes.Equal(message, bytes.Repeat([]byte{want}, len(message))) {
				return fmt.Errorf("message %d has changed", i)
			}
		}
		return nil
	})
	c := w.greeted(t)
	c.open(1, "/t/keep")
	for i := range 6 {
		p := framed(strings.Repeat(string(rune('a'+i)), 70<<10))
		for part := range slices.Chunk(p, 16<<10) {
			c.data(1, false, part)
		}
		c.answers()
	}
	c.data(1, true, nil)
	c.want(finished)
}
