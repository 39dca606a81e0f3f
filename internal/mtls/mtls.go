// Package mtls is TLS on weft's own port: certificates that are read from disk at each handshake, and who may connect.
package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc/credentials"
)

// Options say who weft is, and who may connect.
type Options struct {
	Cert, Key string        // PEM files
	ClientCA  string        // PEM file; without one everybody may connect
	Allowed   []spiffeid.ID // of those whom ClientCA vouches for; empty for all
}

// Credentials are those of a gRPC server. The files are read now, so that errors in them are found at the start, and again
// at each handshake: handshakes are few, since Envoy keeps its connections, and nothing has to watch files or keep a
// timer. Files that are bad, or half written, change nothing: the log says so, and those from before stay in use.
//
// The function that is returned too looks at the files like a handshake, and tells which certificate one would get.
func Credentials(o Options, logger *slog.Logger) (_ credentials.TransportCredentials, current func() *x509.Certificate, _ error) {
	files := &files{Options: o, logger: logger}
	if err := files.load(); err != nil {
		return nil, nil, err
	}
	tlsCredentials := credentials.NewTLS(&tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return files.config(), nil },
	})
	return &reporting{TransportCredentials: tlsCredentials, logger: logger},
		func() *x509.Certificate { return files.config().Certificates[0].Leaf }, nil
}

// verify refuses a client that is not on the list. The certificate itself has been verified.
func (o Options) verify(state tls.ConnectionState) error {
	if len(o.Allowed) == 0 {
		return nil
	}
	id, err := x509svid.IDFromCert(state.PeerCertificates[0])
	if err != nil {
		return fmt.Errorf("the certificate has no SPIFFE id: %w", err)
	}
	if !slices.Contains(o.Allowed, id) {
		return fmt.Errorf("the SPIFFE id %s is not among those of --allow-spiffe-id", id)
	}
	return nil
}

// reporting logs handshakes that fail, which gRPC does not.
type reporting struct {
	credentials.TransportCredentials
	logger *slog.Logger

	mu   sync.Mutex
	last time.Time
}

// quiet is how long the log is left alone after a handshake that failed: they come as fast as somebody wants.
const quiet = 10 * time.Second

func (r *reporting) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := r.TransportCredentials.ServerHandshake(raw)
	if err != nil && !errors.Is(err, io.EOF) && r.mayLog() { // EOF: a probe that looks whether the port is open
		r.logger.Warn("a client was refused, or refused weft", "client", raw.RemoteAddr().String(), "error", err)
	}
	return conn, info, err
}

func (r *reporting) mayLog() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.last) < quiet {
		return false
	}
	r.last = time.Now()
	return true
}

// Clone returns r: it has nothing that would not be shared.
func (r *reporting) Clone() credentials.TransportCredentials { return r }
