package main

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestRelayDelaysWithoutSerialising: chunks that are in flight together arrive as far apart as they were sent.
func TestRelayDelaysWithoutSerialising(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 5 * time.Millisecond
		client, src := net.Pipe()
		dst, server := net.Pipe()
		go relay(dst, src, delay, time.Sleep) // the clock of synctest is exact
		start := time.Now()
		sent := []time.Duration{0, time.Millisecond, 4 * time.Millisecond, 20 * time.Millisecond}
		go func() {
			for i, at := range sent {
				time.Sleep(time.Until(start.Add(at)))
				_, _ = client.Write([]byte{byte(i)})
			}
			_ = client.Close()
		}()
		for i, at := range sent {
			chunk := make([]byte, 2)
			n, err := server.Read(chunk)
			if err != nil || n != 1 || chunk[0] != byte(i) {
				t.Fatalf("chunk %d: %v, %v", i, chunk[:n], err)
			}
			if arrived := time.Since(start); arrived != at+delay {
				t.Errorf("chunk %d arrived after %v, want %v", i, arrived, at+delay)
			}
		}
		if _, err := server.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is still open after the client closed it")
		}
	})
}

// TestRelayEndsWithReader: a server that closes its connection ends the relay, which reads no more.
func TestRelayEndsWithReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, src := net.Pipe()
		dst, server := net.Pipe()
		_ = server.Close()
		go relay(dst, src, time.Millisecond, time.Sleep)
		_, _ = client.Write([]byte("request"))
		if _, err := client.Read(make([]byte, 1)); err == nil {
			t.Error("the client's connection is still open")
		}
	})
}
