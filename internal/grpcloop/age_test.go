package grpcloop_test

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/credentials"

	"weft/internal/grpcloop"
)

func TestMaxAge(t *testing.T) {
	bubble(t, &grpcloop.Server{MaxAge: 10 * time.Minute}, func(t *testing.T, w *world) {
		start := time.Now()
		ages := map[time.Duration]bool{}
		for range 20 {
			c := w.piped(t)
			c.open(1, "/t/echo")
			c.patience = time.Hour
			c.wantNext(goingAway)
			age := time.Since(start)
			if age < 9*time.Minute || age > 11*time.Minute {
				t.Errorf("it was told to go away at the age of %v", age)
			}
			ages[age.Round(time.Second)] = true
			c.wantNext(asksDrain)
			c.ackDrain()
			c.data(1, true, framed("a")) // its stream finishes
			c.wantNext("GOAWAY 1 NO_ERROR", "HEADERS 1 "+head, `DATA 1 "\x00\x00\x00\x00\x01a"`, finished, "end")
			start = time.Now()
		}
		if len(ages) < 5 {
			t.Errorf("all are of the same age: %v", ages)
		}
	})
}

// TestKeepalive: one who is there stays, one who is silent goes.
func TestKeepalive(t *testing.T) {
	server := func() *grpcloop.Server { return &grpcloop.Server{Keepalive: time.Minute} }
	t.Run("who answers", func(t *testing.T) {
		bubble(t, server(), func(t *testing.T, w *world) {
			c := w.piped(t)
			c.patience = time.Hour
			c.open(1, "/t/wait")
			for range 10 {
				c.wantNext(`PING "alive?"`)
				c.ok(c.WritePing(true, [8]byte{'a', 'l', 'i', 'v', 'e', '?'}))
			}
			c.ok(c.WriteRSTStream(1, http2.ErrCodeCancel))
			c.want()
		})
	})
	t.Run("who says something else", func(t *testing.T) {
		bubble(t, server(), func(t *testing.T, w *world) {
			c := w.piped(t)
			for range 10 {
				time.Sleep(50 * time.Second)
				c.want()
			}
		})
	})
	t.Run("who is silent", func(t *testing.T) {
		bubble(t, server(), func(t *testing.T, w *world) {
			c := w.piped(t)
			c.patience = time.Hour
			c.open(1, "/t/wait")
			synctest.Wait()
			start := time.Now()
			c.wantNext(`PING "alive?"`, "end")
			if age := time.Since(start); age < time.Minute || age > 2*time.Minute+20*time.Second {
				t.Errorf("it has ended after %v", age)
			}
			synctest.Wait()
			if n := len(w.ended("/t/wait")); n != 1 {
				t.Error("the handler goes on")
			}
		})
	})
	t.Run("who does not read", func(t *testing.T) {
		for _, asked := range []bool{false, true} {
			bubble(t, server(), func(t *testing.T, w *world) {
				near, far := net.Pipe()
				w.listener.accepted <- far
				c := newClient(t, near)
				defer near.Close()
				c.raw([]byte(http2.ClientPreface))
				go func() { c.ok(c.WriteSettings()) }()
				for range 3 {
					if _, err := c.ReadFrame(); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				c.open(1, "/t/echo")
				if asked { // and has the loop write
					c.say(1, "a")
				}
				synctest.Wait()
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				if n := len(w.ended("/t/echo")); n != 1 {
					t.Errorf("asked %t: the connection goes on", asked)
				}
			})
		}
	})
}

func TestHandshakeTimeout(t *testing.T) {
	for i, said := range []string{"", http2.ClientPreface[:5], http2.ClientPreface, http2.ClientPreface + "\x00\x00\x00\x04"} {
		t.Run(fmt.Sprint("stage ", i), func(t *testing.T) {
			bubble(t, &grpcloop.Server{}, func(t *testing.T, w *world) {
				near, far := net.Pipe()
				c := w.dialOver(t, near, far)
				c.raw([]byte(said))
				start := time.Now()
				for c.next() != "end" {
				}
				if d := time.Since(start); d < 10*time.Second || d > 12*time.Second {
					t.Errorf("it has ended after %v", d)
				}
			})
		})
	}
	t.Run("TLS", func(t *testing.T) {
		server := &grpcloop.Server{Credentials: credentials.NewTLS(certificate(t, "weft")), HandshakeTimeout: time.Second}
		bubble(t, server, func(t *testing.T, w *world) {
			near, far := net.Pipe()
			start := time.Now()
			w.dialOver(t, near, far).wantNext("end")
			if d := time.Since(start); d != time.Second {
				t.Errorf("it has ended after %v", d)
			}
		})
	})
}
