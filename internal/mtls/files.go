package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// files are the PEM files of Options and the TLS configuration made from them.
type files struct {
	Options
	logger *slog.Logger

	mu      sync.Mutex
	content [3]string   // of the files that current was made from
	current *tls.Config // from the last files without errors
	failure string      // the last error logged; empty after a success
}

// config returns the configuration for a handshake.
func (f *files) config() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch err := f.load(); {
	case err == nil:
		f.failure = ""
	case err.Error() != f.failure:
		f.failure = err.Error()
		f.logger.Error("certificate files rejected; the previous ones stay in use", "error", err)
	}
	return f.current
}

// load reads the files and, if they have changed, makes a new configuration.
func (f *files) load() error {
	var content [3]string
	for i, name := range []string{f.Cert, f.Key, f.ClientCA} {
		if name == "" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		content[i] = string(text)
	}
	if f.current != nil && content == f.content {
		return nil
	}
	cert, err := tls.X509KeyPair([]byte(content[0]), []byte(content[1])) // its errors do not quote the key
	if err != nil {
		return fmt.Errorf("%s and %s: %w", f.Cert, f.Key, err)
	}
	level := slog.LevelInfo
	if time.Now().After(cert.Leaf.NotAfter) {
		if f.current != nil {
			return fmt.Errorf("%s: the certificate expired at %v", f.Cert, cert.Leaf.NotAfter)
		}
		level = slog.LevelWarn // at start there is no previous certificate to keep
	}
	// A resumed session would not be verified with the current CA bundle.
	config := &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true}
	if f.ClientCA != "" {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM([]byte(content[2])) {
			return fmt.Errorf("%s: contains no certificate", f.ClientCA)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.VerifyConnection = f.verify
	}
	f.logger.Log(context.Background(), level, "certificate loaded", "subject", cert.Leaf.Subject.String(),
		"serial", cert.Leaf.SerialNumber.Text(16), "not_after", cert.Leaf.NotAfter)
	f.content, f.current = content, config
	return nil
}
