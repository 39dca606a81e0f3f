package envoy_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// mongoProxy is a proxy between weft and mongod, with which a test sees find commands and can hold them.
type mongoProxy struct {
	uri    string
	onFind func() // called before a find is passed on
}

// startMongoProxy calls onFind for each find command, before mongod sees it. onFind may block until the end of the
// test.
func startMongoProxy(t testing.TB, onFind func()) *mongoProxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &mongoProxy{
		// Without directConnection the driver would connect to the address that mongod reports for itself.
		uri:    "mongodb://" + listener.Addr().String() + "/?directConnection=true",
		onFind: onFind,
	}
	var open sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", strings.TrimPrefix(mongod.URI(), "mongodb://"))
			if err != nil {
				_ = client.Close()
				return
			}
			mu.Lock()
			conns = append(conns, client, server)
			mu.Unlock()
			open.Go(func() { p.passCommands(server, client) })
			open.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		open.Wait()
	})
	return p
}

// passCommands copies whole messages of MongoDB's wire protocol, each of which begins with its length.
func (p *mongoProxy) passCommands(server io.WriteCloser, client io.Reader) {
	defer func() { _ = server.Close() }()
	for {
		var length [4]byte
		if _, err := io.ReadFull(client, length[:]); err != nil {
			return
		}
		message := make([]byte, binary.LittleEndian.Uint32(length[:]))
		copy(message, length[:])
		if _, err := io.ReadFull(client, message[4:]); err != nil {
			return
		}
		if bytes.Contains(message, []byte("\x02find\x00")) { // the first element of the command: a string named find
			p.onFind()
		}
		if _, err := server.Write(message); err != nil {
			return
		}
	}
}
