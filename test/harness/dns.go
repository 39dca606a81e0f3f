package harness

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS is an in-memory DNS server. Targets of SRV records resolve to 127.0.0.1.
type DNS struct {
	mu     sync.Mutex
	down   bool
	silent bool
	failed map[dnsmessage.Type]bool
	srv    map[string]dnsmessage.SRVResource
	txt    map[string]string
}

// NewDNS returns a DNS with a MongoDB SRV record for name, with a target and a port.
func NewDNS(name, target string, port int) *DNS {
	return &DNS{
		failed: map[dnsmessage.Type]bool{},
		txt:    map[string]string{},
		srv: map[string]dnsmessage.SRVResource{
			"_mongodb._tcp." + name + ".": {Port: uint16(port), Target: dnsmessage.MustNewName(target + ".")},
		},
	}
}

// SetDown sets whether connections to the server fail.
func (d *DNS) SetDown(down bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = down
}

// SetSilent sets whether the server leaves queries unanswered.
func (d *DNS) SetSilent(silent bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silent = silent
}

// SetTXT sets the TXT record of a name.
func (d *DNS) SetTXT(name, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.txt[name+"."] = text
}

// SetFailed sets whether queries for a record type fail (SERVFAIL).
func (d *DNS) SetFailed(t dnsmessage.Type, failed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed[t] = failed
}

// Use makes the process use the server until restore is called.
func (d *DNS) Use() (restore func()) {
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: d.dial}
	return func() { net.DefaultResolver = before }
}

func (d *DNS) dial(context.Context, string, string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return nil, errors.New("the test's DNS server is down")
	}
	client, server := net.Pipe()
	if d.silent {
		go func() { _, _ = io.Copy(io.Discard, server) }()
		return client, nil
	}
	go func() { _ = d.serve(server) }()
	return client, nil
}

// serve answers the queries on a connection, with DNS over TCP (RFC 1035, section 4.2.2).
func (d *DNS) serve(c net.Conn) error {
	defer func() { _ = c.Close() }()
	for {
		var length [2]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return err
		}
		question := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(c, question); err != nil {
			return err
		}
		var m dnsmessage.Message
		if err := m.Unpack(question); err != nil {
			return err
		}
		answer, err := d.answer(m).Pack()
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint16(length[:], uint16(len(answer)))
		if _, err := c.Write(append(length[:], answer...)); err != nil {
			return err
		}
	}
}

func (d *DNS) answer(m dnsmessage.Message) *dnsmessage.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := m.Questions[0]
	reply := &dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: m.Questions[:1],
	}
	name := q.Name.String()
	srv, isSRV := d.srv[name]
	text, isTXT := d.txt[name]
	isTarget := false
	for _, record := range d.srv {
		isTarget = isTarget || record.Target == q.Name
	}
	var body dnsmessage.ResourceBody
	switch {
	case d.failed[q.Type]:
		reply.RCode = dnsmessage.RCodeServerFailure
	case isSRV && q.Type == dnsmessage.TypeSRV:
		body = &srv
	case isTXT && q.Type == dnsmessage.TypeTXT:
		body = &dnsmessage.TXTResource{TXT: []string{text}}
	case isTarget && q.Type == dnsmessage.TypeA:
		body = &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}
	case !isSRV && !isTXT && !isTarget:
		reply.RCode = dnsmessage.RCodeNameError
	}
	if body != nil {
		header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}
		reply.Answers = []dnsmessage.Resource{{Header: header, Body: body}}
	}
	return reply
}
