package grpcloop_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"weft/internal/grpcloop"
)

// TestAwait has a handler woken, or not, in every way.
func TestAwait(t *testing.T) {
	for _, test := range []struct {
		name  string
		most  time.Duration
		begin func(wake func())
		meets func(*client) // while it waits
		want  string
		takes time.Duration
	}{
		{name: "woken before it waits", begin: func(wake func()) { wake() }, want: "true"},
		{name: "woken often before it waits", begin: func(wake func()) { wake(); wake(); wake() }, want: "true"},
		{name: "woken by another goroutine", begin: func(wake func()) { go wake() }, want: "true"},
		{name: "woken by others, often", begin: func(wake func()) { go wake(); go wake(); go wake() }, want: "true"},
		{name: "woken later", begin: func(wake func()) { time.AfterFunc(time.Second, wake) }, want: "true", takes: time.Second},
		{name: "woken in time", most: 2 * time.Second, begin: func(wake func()) { time.AfterFunc(time.Second, wake) }, want: "true", takes: time.Second},
		{name: "woken too late", most: time.Second, begin: func(wake func()) { time.AfterFunc(2*time.Second, wake) }, want: "false", takes: time.Second},
		{name: "not woken", most: time.Second, begin: func(func()) {}, want: "false", takes: time.Second},
		{
			name: "a message meanwhile", begin: func(wake func()) { time.AfterFunc(time.Second, wake) },
			meets: func(c *client) { c.say(1, "x") }, want: "true", takes: time.Second,
		},
		{
			name: "all said meanwhile", begin: func(wake func()) { time.AfterFunc(time.Second, wake) },
			meets: func(c *client) { c.data(1, true, nil) }, want: "true", takes: time.Second,
		},
		{
			name: "cancelled meanwhile", begin: func(wake func()) { time.AfterFunc(time.Second, wake) },
			meets: func(c *client) { c.ok(c.WriteRSTStream(1, http2.ErrCodeCancel)) }, want: "false",
		},
		{
			name: "cancelled meanwhile, with a time", most: time.Second, begin: func(func()) {},
			meets: func(c *client) { c.ok(c.WriteRSTStream(1, http2.ErrCodeCancel)) }, want: "false",
		},
		{
			name: "gone meanwhile", begin: func(wake func()) { time.AfterFunc(time.Second, wake) },
			meets: func(c *client) { _ = c.nc.Close() }, want: "false",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, &grpcloop.Server{}, func(t *testing.T, w *world) {
				var took time.Duration
				w.handle("/t/await", func(s *grpcloop.Stream) error {
					start := time.Now()
					woken := s.Await(test.most, test.begin)
					took = time.Since(start)
					return errors.New(fmt.Sprint(woken))
				})
				c := w.piped(t)
				c.open(1, "/t/await")
				if test.meets != nil {
					synctest.Wait()
					test.meets(c)
				}
				time.Sleep(10 * time.Second) // what is late comes, too
				synctest.Wait()
				if ends := w.ended("/t/await"); len(ends) != 1 || ends[0].Error() != test.want || took != test.takes {
					t.Errorf("got %v after %v, want %s after %v", ends, took, test.want, test.takes)
				}
			})
		})
	}
}

// TestAwaitAgain: a wake that comes late ends no other wait.
func TestAwaitAgain(t *testing.T) {
	bubble(t, &grpcloop.Server{}, func(t *testing.T, w *world) {
		w.handle("/t/twice", func(s *grpcloop.Stream) error {
			var late func()
			if s.Await(time.Second, func(wake func()) { late = wake }) {
				return errors.New("nobody has woken the first wait")
			}
			start := time.Now()
			if s.Await(time.Second, func(func()) { late(); go late() }) {
				return errors.New("the wake of the first wait has ended the second")
			}
			if time.Since(start) != time.Second {
				return errors.New("the time of the second wait was not its own")
			}
			if !s.Await(time.Second, func(wake func()) { late(); wake(); late() }) {
				return errors.New("the third wait was not woken")
			}
			message, err := s.Receive() // it has come in the meantime
			if err != nil {
				return err
			}
			if err := s.Send(message, nil); err != nil {
				return err
			}
			go late() // when all is over
			return nil
		})
		c := w.piped(t)
		c.open(1, "/t/twice")
		c.data(1, true, framed("a"))
		c.wantNext("HEADERS 1 "+head, `DATA 1 "\x00\x00\x00\x00\x01a"`, finished)
	})
}

// TestAwaitMany: handlers that are woken at once by many, while the loop is at others, lose no wake and no answer.
func TestAwaitMany(t *testing.T) {
	const streams, rounds = 100, 20
	w := newWorld(t, &grpcloop.Server{})
	w.handle("/t/many", func(s *grpcloop.Stream) error {
		for i := range rounds {
			if !s.Await(time.Minute, func(wake func()) {
				go wake()
				if i%2 == 0 {
					go wake()
				}
			}) {
				return errors.New("not woken")
			}
			if err := s.Send([]byte{'0' + byte(i%10)}, nil); err != nil {
				return err
			}
			if i%5 == 0 {
				if _, err := s.Receive(); err != nil {
					return err
				}
			}
			if i%7 == 0 {
				s.Detach()
			}
		}
		return nil
	})
	c := w.greeted(t)
	for i := range uint32(streams) {
		c.open(2*i+1, "/t/many")
		for range 2 {
			c.say(2*i+1, "x")
		}
	}
	for i := range uint32(streams) {
		for range 2 {
			c.say(2*i+1, "x")
		}
	}
	done := 0
	for done < streams {
		f := c.next()
		var id uint32
		if n, _ := fmt.Sscanf(f, "HEADERS %d grpc-status=0 end", &id); n == 1 && f == fmt.Sprintf("HEADERS %d grpc-status=0 end", id) {
			done++
		} else if f == "end" {
			t.Fatalf("only %d streams are over: %v", done, w.ended("/t/many"))
		}
	}
}
