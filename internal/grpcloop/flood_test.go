package grpcloop_test

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/internal/grpcloop"
)

const refused = "RST_STREAM %d REFUSED_STREAM"

// TestMaxStreams: as many conversations as there may be, and no more, whatever they are at.
func TestMaxStreams(t *testing.T) {
	open := func(c *client, path string, ids ...uint32) {
		for _, id := range ids {
			c.open(id, path)
		}
	}
	t.Run("that wait", func(t *testing.T) {
		c := newWorld(t, &grpcloop.Server{MaxStreams: 2}).greeted(t)
		open(c, "/t/wait", 1, 3, 5, 7)
		c.want(fmt.Sprintf(refused, 5), fmt.Sprintf(refused, 7))
		c.ok(c.WriteRSTStream(3, http2.ErrCodeCancel))
		open(c, "/t/wait", 9, 11)
		c.want(fmt.Sprintf(refused, 11))
	})
	t.Run("that were reset, but work on", func(t *testing.T) {
		w := newWorld(t, &grpcloop.Server{MaxStreams: 2})
		goOn := make(chan bool)
		w.handle("/t/work", func(s *grpcloop.Stream) error {
			s.Detach()
			<-goOn
			return nil
		})
		c := w.greeted(t)
		open(c, "/t/work", 1, 3)
		c.ok(c.WriteRSTStream(1, http2.ErrCodeCancel))
		c.ok(c.WriteRSTStream(3, http2.ErrCodeCancel))
		open(c, "/t/wait", 5)
		c.want(fmt.Sprintf(refused, 5))
		close(goOn)
		for id := uint32(7); ; id += 2 { // it is over some time
			open(c, "/t/none", id)
			if answers := c.answers(); len(answers) != 1 || answers[0] != fmt.Sprintf(refused, id) {
				break
			}
		}
	})
	t.Run("whose answers are not taken", func(t *testing.T) {
		c := newWorld(t, &grpcloop.Server{MaxStreams: 2}).greeted(t, window(0))
		for _, id := range []uint32{1, 3, 5} {
			c.open(id, "/t/echo")
			c.data(id, true, framed("a"))
		}
		c.want("HEADERS 1 "+head, "HEADERS 3 "+head, fmt.Sprintf(refused, 5))
		c.ok(c.WriteWindowUpdate(1, 100))
		c.want(`DATA 1 "\x00\x00\x00\x00\x01a"`, finished)
		open(c, "/t/wait", 7, 9)
		c.want(fmt.Sprintf(refused, 9))
		c.ok(c.WriteRSTStream(3, http2.ErrCodeCancel)) // the other one that is not taken
		open(c, "/t/wait", 11, 13)
		c.want(fmt.Sprintf(refused, 13))
	})
}

// TestRapidReset: streams that are begun and given up at once (CVE-2023-44487) leave nothing, even those that have said something.
func TestRapidReset(t *testing.T) {
	const rounds, each = 40, 100
	for _, path := range []string{"/t/echo", "/t/wait", "/t/deaf", "/t/none"} {
		t.Run(path, func(t *testing.T) {
			w := newWorld(t, &grpcloop.Server{MaxStreams: 10})
			c := w.greeted(t, window(0))
			message := strings.Repeat("x", 2000)
			before := heap()
			id := uint32(1)
			for range rounds {
				for range each {
					c.open(id, path)
					c.say(id, message)
					c.ok(c.WriteRSTStream(id, http2.ErrCodeCancel))
					id += 2
				}
				for _, answer := range c.answers() {
					if !strings.HasPrefix(answer, "HEADERS") && answer != "WINDOW_UPDATE 0" {
						t.Fatal(answer)
					}
				}
			}
			if more := heap() - before; more > 2<<20 { // all would be 8 MB
				t.Errorf("%d bytes are left of %d streams", more, rounds*each)
			}
			if most := w.mostOpen(); most > 10 {
				t.Errorf("%d handlers at once", most)
			}
			for _, err := range w.ended(path) {
				if path == "/t/echo" && status.Code(err) != codes.Canceled {
					t.Fatalf("a handler has ended with %v", err)
				}
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestFloods: one who does not read what he asks for is not read from for long, whoever is at writing.
func TestFloods(t *testing.T) {
	const many = 200_000
	for _, flood := range []struct {
		name string
		send func(*client) error
	}{
		{"pings", func(c *client) error { return c.WritePing(false, [8]byte{}) }},
		{"settings", func(c *client) error { return c.WriteSettings(window(1), window(100)) }},
		{"no credit for a stream", func(c *client) error { return c.WriteWindowUpdate(1, 0) }},
	} {
		for _, busy := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, another goroutine is at writing: %t", flood.name, busy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, &grpcloop.Server{})
					w.handle("/t/talk", func(s *grpcloop.Stream) error {
						s.Detach()
						return s.Send([]byte("hello"), nil)
					})
					near, far := net.Pipe()
					w.listener.accepted <- far
					c := newClient(t, near)
					defer near.Close()
					c.raw([]byte(http2.ClientPreface))
					go func() { c.ok(c.WriteSettings()) }()
					for range 3 { // nothing is read after that
						if _, err := c.ReadFrame(); err != nil {
							t.Fatal(err)
						}
					}
					synctest.Wait()
					if busy {
						c.headers(1, true, request("/t/talk")...)
						synctest.Wait()
					}
					var sent atomic.Int64
					go func() {
						for range many {
							if flood.send(c) != nil {
								return
							}
							sent.Add(1)
						}
					}()
					synctest.Wait()
					if n := sent.Load(); n > 50_000 {
						t.Errorf("%d frames were read of one who reads none", n)
					}
				})
			})
		}
	}
}
