package envoy

import (
	"errors"
	"net/netip"
	"path"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// TLS configures TLS between Envoy and weft. All paths are those in Envoy's file system, all files are PEM.
type TLS struct {
	CA        string // file: CA bundle for weft's certificate
	SAN       string // required in weft's certificate: a SPIFFE ID (or another URI), a DNS name or an IP address
	SNI       string // server name that Envoy sends; default: SAN, if it is a DNS name
	Cert, Key string // files: Envoy's client certificate and its key, for mutual TLS; empty for none

	// Secrets, if not empty, is a folder with the files CASecret.yaml and CertSecret.yaml, as [Secret] returns them. With
	// them Envoy reads the other files again when they are replaced; without them only at its start.
	Secrets string
}

// Names of Envoy's secrets.
const (
	CASecret   = "weft-ca"
	CertSecret = "weft-client"
)

// transportSocket returns nil for a zero TLS.
func (t TLS) transportSocket() (*corev3.TransportSocket, error) {
	switch {
	case t == (TLS{}):
		return nil, nil
	case t.CA == "" || t.SAN == "":
		return nil, errors.New("TLS to weft: --weft-tls-ca and --weft-tls-san are required; " +
			"without both, any server could pose as weft")
	case (t.Cert == "") != (t.Key == ""):
		return nil, errors.New("TLS to weft: --weft-tls-cert and --weft-tls-key are required together")
	}
	common := &tlsv3.CommonTlsContext{
		AlpnProtocols: []string{"h2"}, // gRPC requires it
		TlsParams: &tlsv3.TlsParameters{
			TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
			TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
		},
	}
	validation := &tlsv3.CertificateValidationContext{
		MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{SanType: t.sanType(), Matcher: exact(t.SAN)}},
	}
	if t.Secrets != "" {
		common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         validation,
				ValidationContextSdsSecretConfig: t.secret(CASecret),
			},
		}
		if t.Cert != "" {
			common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{t.secret(CertSecret)}
		}
	} else {
		validation.TrustedCa = file(t.CA)
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: validation}
		if t.Cert != "" {
			common.TlsCertificates = []*tlsv3.TlsCertificate{{CertificateChain: file(t.Cert), PrivateKey: file(t.Key)}}
		}
	}
	context := &tlsv3.UpstreamTlsContext{Sni: t.sni(), CommonTlsContext: common}
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: marshalAny(context)},
	}, nil
}

func (t TLS) secret(name string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: &corev3.ConfigSource{
		ResourceApiVersion: corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_PathConfigSource{
			PathConfigSource: &corev3.PathConfigSource{Path: path.Join(t.Secrets, name+".yaml")},
		},
	}}
}

// Secret returns the content of the file through which Envoy reads a secret, CASecret or CertSecret; a file has one
// secret. Envoy reads the PEM files again when they are replaced by a rename or by turning a symbolic link, as
// Kubernetes does. It does not notice a write in place.
func Secret(t TLS, name string) (*discoveryv3.DiscoveryResponse, error) {
	secret := &tlsv3.Secret{Name: name}
	switch {
	case name == CASecret && t.CA != "":
		secret.Type = &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: file(t.CA), WatchedDirectory: directory(t.CA),
		}}
	case name == CertSecret && t.Cert != "" && t.Key != "":
		secret.Type = &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: file(t.Cert), PrivateKey: file(t.Key), WatchedDirectory: directory(t.Cert),
		}}
	case name == CASecret:
		return nil, errors.New("secret " + name + ": --weft-tls-ca is required")
	default:
		return nil, errors.New("secret " + name + ": --weft-tls-cert and --weft-tls-key are required")
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

func file(name string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: name}}
}

func directory(file string) *corev3.WatchedDirectory {
	return &corev3.WatchedDirectory{Path: path.Dir(file)}
}
