package grpcloop_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"weft/internal/grpcloop"
)

// TestSlowReader: one who takes long for the last answers gets them all.
func TestSlowReader(t *testing.T) {
	const size = 300_000
	bubble(t, &grpcloop.Server{}, func(t *testing.T, w *world) {
		goOn := make(chan bool)
		w.handle("/t/big", func(s *grpcloop.Stream) error {
			s.Await(0, func(wake func()) {
				go func() { <-goOn; wake() }()
			})
			return s.Send(make([]byte, size), nil)
		})
		w.handle("/t/work", func(s *grpcloop.Stream) error {
			s.Detach()
			<-goOn
			return nil
		})
		c := w.piped(t)
		c.patience = time.Hour
		c.ok(c.WriteSettings(window(1 << 30)))
		c.ok(c.WriteWindowUpdate(0, 1<<30))
		c.open(1, "/t/big")
		c.open(3, "/t/work")
		stopped := begun(w.GracefulStop)
		c.wantSometime(asksDrain)
		c.ackDrain()
		c.want("GOAWAY 3 NO_ERROR")
		c.stopReading()
		goOn <- true // to whom it may be
		synctest.Wait()
		goOn <- true
		time.Sleep(time.Minute)
		c.goOnReading()
		got := 0
		for _, f := range c.answers() {
			var id, n int
			if parsed, _ := fmt.Sscanf(f, "DATA %d %d bytes", &id, &n); parsed == 2 {
				got += n
			}
		}
		if got != size+5 {
			t.Errorf("%d bytes of %d have come", got, size)
		}
		<-stopped
	})
}

// TestLastAnswer: a connection that ends takes nothing with it that is still on its way, although the other end says this and that
// in the meantime (a kernel drops what it is to send where a socket is closed with something unread).
func TestLastAnswer(t *testing.T) {
	const size = 8 << 20
	for name, goOn := range map[string]func(*grpcloop.Stream){
		"in the loop": func(*grpcloop.Stream) {},
		"detached":    (*grpcloop.Stream).Detach,
		"woken":       func(s *grpcloop.Stream) { s.Await(time.Minute, func(wake func()) { go wake() }) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, &grpcloop.Server{})
			w.handle("/t/big", func(s *grpcloop.Stream) error {
				if _, err := s.Receive(); err != nil {
					return err
				}
				goOn(s)
				return s.Send(nil, []byte(strings.Repeat("x", size)))
			})
			c := w.overTCP(t)
			c.raw([]byte(http2.ClientPreface))
			c.ok(c.WriteSettings(window(1<<31-1), http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20}))
			c.ok(c.WriteWindowUpdate(0, 1<<30))
			c.open(1, "/t/big")
			var stopped chan struct{}
			got := 0
			for {
				f, err := c.ReadFrame()
				if err != nil {
					if !errors.Is(err, io.EOF) {
						t.Error(err)
					}
					break
				}
				switch f := f.(type) {
				case *http2.SettingsFrame:
					if f.IsAck() { // it listens
						stopped = make(chan struct{})
						go func() { w.GracefulStop(); close(stopped) }()
					}
				case *http2.PingFrame:
					if !f.IsAck() {
						c.ok(c.WritePing(true, f.Data))
					}
				case *http2.GoAwayFrame:
					if f.LastStreamID == 1 {
						c.say(1, "go") // the answer is the last thing there is
					}
				case *http2.DataFrame:
					got += len(f.Data())
					for range 50 {
						c.ok(c.WriteWindowUpdate(1, 1)) // it is not needed
					}
				case *http2.MetaHeadersFrame:
					if f.StreamEnded() {
						got++
					}
				}
			}
			if got != size+5+1 {
				t.Errorf("%d bytes have come", got)
			}
			<-stopped
		})
	}
}

// overTCP connects over TCP. Nothing is read.
func (w *world) overTCP(t *testing.T) *client {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	w.listener.accepted <- far
	t.Cleanup(func() { _ = near.Close() })
	return newClient(t, near)
}
