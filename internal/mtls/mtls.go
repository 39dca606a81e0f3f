// Package mtls is TLS on weft's own port: certificates that are read from disk at each handshake, and the list of
// clients that may connect.
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

// Options are weft's certificate, and the clients that may connect.
type Options struct {
	Cert, Key string        // PEM files
	ClientCA  string        // PEM file with the CA bundle for clients; empty if any client may connect
	Allowed   []spiffeid.ID // of clients with a certificate from ClientCA; empty for all of them
}

// Credentials returns those of a gRPC server. The files are read now, so that errors in them are found at the start,
// and again at each handshake: handshakes are few, since Envoy keeps its connections, and nothing has to watch files.
// If the files have errors, or are half written, the log says so, and the previous certificate stays in use.
//
// The returned function reads the files, too, and returns the certificate that a handshake would use.
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
			sometimes:            rate.Sometimes{Interval: 10 * time.Second}, // clients cannot flood the log
		},
		func() *x509.Certificate { return files.config().Certificates[0].Leaf }, nil
}

// verify rejects a client that is not on the list. The certificate itself has been verified.
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

// logging logs handshakes that fail, which gRPC does not.
type logging struct {
	credentials.TransportCredentials
	logger    *slog.Logger
	sometimes rate.Sometimes
}

func (l *logging) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := l.TransportCredentials.ServerHandshake(raw)
	if err != nil && !errors.Is(err, io.EOF) { // EOF: a probe of the open port
		l.sometimes.Do(func() {
			l.logger.Warn("a client was refused, or refused weft", "client", raw.RemoteAddr().String(), "error", err)
		})
	}
	return conn, info, err
}

// Clone returns l, which has no state of a connection.
func (l *logging) Clone() credentials.TransportCredentials { return l }
