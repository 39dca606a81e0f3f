package harness

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// MongoProxy is a proxy between a driver and a mongod, with which a test sees, holds or answers the driver's messages.
type MongoProxy struct {
	URI string // connection string for the driver

	onMessage func(message []byte) (reply []byte)
	mongod    string // host:port
	listener  net.Listener
	running   sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

// StartMongoProxy starts a proxy to the mongod at a host:port. It calls onMessage for each complete message of the
// driver, before mongod gets it; onMessage may block. If onMessage returns a reply, the driver gets that, and mongod
// gets nothing.
func StartMongoProxy(mongod string, onMessage func(message []byte) (reply []byte)) (*MongoProxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &MongoProxy{
		// Without directConnection the driver would connect to the address that mongod reports for itself.
		URI:       "mongodb://" + listener.Addr().String() + "/?directConnection=true",
		onMessage: onMessage, mongod: mongod, listener: listener,
	}
	p.running.Go(p.accept)
	return p, nil
}

// Close closes all connections and returns when no call of onMessage is in progress.
func (p *MongoProxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *MongoProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.mongod)
		if err != nil {
			_ = client.Close()
			return
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.running.Go(func() { p.forward(server, client) })
		p.running.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
	}
}

// forward forwards the messages of a driver.
func (p *MongoProxy) forward(server io.WriteCloser, client io.ReadWriter) {
	defer func() { _ = server.Close() }()
	for {
		message, err := readMessage(client)
		if err != nil {
			return
		}
		to := io.Writer(server)
		if reply := p.onMessage(message); reply != nil {
			to, message = client, reply // mongod sends nothing: the driver waits for one reply at a time
		}
		if _, err := to.Write(message); err != nil {
			return
		}
	}
}

// readMessage reads a message of MongoDB's wire protocol, which begins with its length.
func readMessage(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, max(len(length), int(binary.LittleEndian.Uint32(length[:]))))
	copy(message, length[:])
	_, err := io.ReadFull(r, message[len(length):])
	return message, err
}
