package envoy

import (
	"errors"
	"net/netip"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// TLS configures TLS between Envoy and weft. Paths are in Envoy's file system, files are PEM.
type TLS struct {
	CA        string // file: CA bundle for weft's certificate
	SAN       string // required in weft's certificate: a SPIFFE ID (or another URI), a DNS name or an IP address
	SNI       string // server name that Envoy sends; default: SAN, if it is a DNS name
	Cert, Key string // files: Envoy's client certificate and its key, for mutual TLS; empty for none

	// Secrets, if not empty, is a directory with the files CASecret.yaml and CertSecret.yaml, as returned by [Secret].
	// With them Envoy reloads the other files when they are replaced; without them it reads them only at start.
	Secrets string
}

// Names of Envoy's secrets.
const (
	CASecret   = "weft-ca"
	CertSecret = "weft-client"
)

func (t TLS) validate() error {
	if t != (TLS{}) && (t.CA == "" || t.SAN == "") {
		return errors.New("TLS to weft: --weft-tls-ca and --weft-tls-san are required; " +
			"without both, any server could pose as weft")
	}
	if (t.Cert == "") != (t.Key == "") {
		return errors.New("TLS to weft: --weft-tls-cert and --weft-tls-key are required together")
	}
	return nil
}

// Secret returns the content of the file from which Envoy reads a secret, CASecret or CertSecret; a file contains one
// secret. Envoy reloads the PEM files when they are replaced by a rename or by an updated symbolic link, as in
// Kubernetes. It does not notice a write in place.
func Secret(t TLS, name string) (*discoveryv3.DiscoveryResponse, error) {
	switch {
	case name == CASecret && t.CA == "":
		return nil, errors.New("secret " + name + ": --weft-tls-ca is required")
	case name == CertSecret && (t.Cert == "" || t.Key == ""):
		return nil, errors.New("secret " + name + ": --weft-tls-cert and --weft-tls-key are required")
	}
	secret := &tlsv3.Secret{Name: name}
	if err := merge(secret, name, t); err != nil {
		return nil, err
	}
	r := &discoveryv3.DiscoveryResponse{Resources: []*anypb.Any{marshalAny(secret)}}
	return r, r.ValidateAll()
}

func (t TLS) sanType() tlsv3.SubjectAltNameMatcher_SanType {
	if _, err := netip.ParseAddr(t.SAN); err == nil {
		return tlsv3.SubjectAltNameMatcher_IP_ADDRESS
	}
	if strings.Contains(t.SAN, "://") {
		return tlsv3.SubjectAltNameMatcher_URI
	}
	return tlsv3.SubjectAltNameMatcher_DNS
}

func (t TLS) sni() string {
	if t.SNI == "" && t.sanType() == tlsv3.SubjectAltNameMatcher_DNS {
		return t.SAN
	}
	return t.SNI
}
