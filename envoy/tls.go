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

// TLS says how Envoy speaks TLS with weft. Files are PEM, as Envoy finds them.
type TLS struct {
	CA        string // file: the authorities that vouch for weft
	SAN       string // what weft's certificate must name: a SPIFFE id (or another URI), a DNS name or an IP address
	SNI       string // the name that Envoy asks for; SAN if that is a DNS name
	Cert, Key string // files: Envoy's own certificate and key, for mutual TLS

	// Secrets, if not empty, is a folder with CASecret.yaml and CertSecret.yaml, as [Secret] makes them. By way of them Envoy
	// reads the other files again when they are replaced; otherwise it does so only at its start.
	Secrets string
}

// Names of Envoy's secrets.
const (
	CASecret   = "weft-ca"
	CertSecret = "weft-client"
)

// transportSocket is nil for a zero TLS.
func (t TLS) transportSocket() (*corev3.TransportSocket, error) {
	switch {
	case t == (TLS{}):
		return nil, nil
	case t.CA == "" || t.SAN == "":
		return nil, errors.New("TLS to weft: --weft-tls-ca and --weft-tls-san are needed; without both anybody could pose as weft")
	case (t.Cert == "") != (t.Key == ""):
		return nil, errors.New("TLS to weft: --weft-tls-cert and --weft-tls-key go together")
	}
	common := &tlsv3.CommonTlsContext{
		AlpnProtocols: []string{"h2"}, // gRPC insists
		TlsParams:     &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3},
	}
	sans := []*tlsv3.SubjectAltNameMatcher{{SanType: t.sanType(), Matcher: exact(t.SAN)}}
	if t.Secrets != "" {
		common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: sans},
				ValidationContextSdsSecretConfig: t.secret(CASecret),
			},
		}
		if t.Cert != "" {
			common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{t.secret(CertSecret)}
		}
	} else {
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{
			ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: file(t.CA), MatchTypedSubjectAltNames: sans},
		}
		if t.Cert != "" {
			common.TlsCertificates = []*tlsv3.TlsCertificate{{CertificateChain: file(t.Cert), PrivateKey: file(t.Key)}}
		}
	}
	context := &tlsv3.UpstreamTlsContext{Sni: t.sni(), CommonTlsContext: common}
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(context)},
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

// Secret returns the file through which Envoy reads one of the secrets, and reads its files again when they are replaced: by a
// rename, or by turning a link, as Kubernetes does. What is written in place Envoy does not see. It takes one secret a file.
func Secret(t TLS, name string) (*discoveryv3.DiscoveryResponse, error) {
	secret := &tlsv3.Secret{Name: name}
	switch {
	case name == CASecret && t.CA != "":
		secret.Type = &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: file(t.CA), WatchedDirectory: folder(t.CA),
		}}
	case name == CertSecret && t.Cert != "" && t.Key != "":
		secret.Type = &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: file(t.Cert), PrivateKey: file(t.Key), WatchedDirectory: folder(t.Cert),
		}}
	case name == CASecret:
		return nil, errors.New("secret " + name + " is made of --weft-tls-ca")
	default:
		return nil, errors.New("secret " + name + " is made of --weft-tls-cert and --weft-tls-key")
	}
	r := &discoveryv3.DiscoveryResponse{Resources: []*anypb.Any{packed(secret)}}
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

func folder(name string) *corev3.WatchedDirectory {
	return &corev3.WatchedDirectory{Path: path.Dir(name)}
}
