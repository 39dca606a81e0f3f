// Package mtls provides TLS for weft's gRPC port: certificates that are read from disk at each handshake, and the list
// of SPIFFE IDs that may connect.
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
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/credentials"
)

// Options are weft's certificate and the clients that may connect.
type Options struct {
	Cert, Key string        // PEM files
	ClientCA  string        // PEM file, the CA bundle for client certificates; empty: any client may connect
	Allowed   []spiffeid.ID // SPIFFE IDs of the clients that may connect; empty: any client that ClientCA verifies
}

// Credentials returns transport credentials for a gRPC server. It reads the files and returns their errors. Each
// handshake reads them again: handshakes are rare because Envoy keeps its connections, so no file watcher is needed. If
// the files then have errors, Credentials logs the error and the previous certificate stays in use.
//
// The returned function also reads the files, and returns the certificate that a handshake would use now.
func Credentials(
	o Options, logger *slog.Logger,
) (_ credentials.TransportCredentials, current func() *x509.Certificate, _ error) {
	files := &files{Options: o, logger: logger}
	if err := files.load(); err != nil {
		return nil, nil, err
	}
	fromFiles := func(*tls.ClientHelloInfo) (*tls.Config, error) { return files.config(), nil }
	return &logging{
			TransportCredentials: credentials.NewTLS(&tls.Config{GetConfigForClient: fromFiles}),
			logger:               logger,
			sometimes:            rate.Sometimes{Interval: 10 * time.Second}, // so that clients cannot flood the log
		},
		func() *x509.Certificate { return files.config().Certificates[0].Leaf }, nil
}

// verify rejects a client whose SPIFFE ID is not in Allowed. crypto/tls has verified the certificate already.
func (o Options) verify(state tls.ConnectionState) error {
	if len(o.Allowed) == 0 {
		return nil
	}
	id, err := x509svid.IDFromCert(state.PeerCertificates[0])
	if err != nil {
		return fmt.Errorf("the client certificate has no SPIFFE ID: %w", err)
	}
	if !slices.Contains(o.Allowed, id) {
		return fmt.Errorf("the SPIFFE ID %s is not allowed; add it to --allow-spiffe-id", id)
	}
	return nil
}

// logging logs failed handshakes, which gRPC does not.
type logging struct {
	credentials.TransportCredentials
	logger    *slog.Logger
	sometimes rate.Sometimes
}

func (l *logging) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := l.TransportCredentials.ServerHandshake(raw)
	if err != nil && !errors.Is(err, io.EOF) { // EOF: a probe of the open port
		l.sometimes.Do(func() {
			l.logger.Warn("tls handshake failed", "client", raw.RemoteAddr().String(), "error", err)
		})
	}
	return conn, info, err
}

// Clone returns l, which has no state per connection.
func (l *logging) Clone() credentials.TransportCredentials { return l }
