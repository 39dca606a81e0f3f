// Package envoy generates the Envoy configuration that calls weft from the rules: a bootstrap for a standalone Envoy,
// and objects for Istio and Envoy Gateway. Parts that depend on the rules are built with go-control-plane's types. The
// rest is YAML templates; messages in them are parsed into those types.
package envoy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
	"weft/envoy/defaults"
)

// Config is the input of all formats.
type Config struct {
	Rules []*enrich.Rule

	Listen string // host:port of Envoy's listener
	Admin  string // host:port of Envoy's admin interface
	Legacy string // host:port of the legacy service; Envoy resolves a host name periodically
	Weft   string // address of weft, unix:PATH or host:port; several are separated by commas
	TLS    TLS    // between Envoy and weft; the zero value is no TLS

	// WeftStreams is the maximum number of concurrent streams on a connection to weft. If it is larger than weft's own
	// limit, weft rejects streams that Envoy opens before it knows that limit, and these exchanges pass.
	WeftStreams uint32

	// Filters precede weft's filters, for example for authentication. weft passes their local replies.
	Filters []*hcmv3.HttpFilter

	// RouteTimeout is the timeout for the complete response of the legacy service, including retries.
	RouteTimeout time.Duration
	// MessageTimeout is how long Envoy waits for each reply of weft before it continues without weft. Less a margin, it is
	// weft's budget for MongoDB once the core has arrived.
	MessageTimeout time.Duration
	// WeftTimeout is the message timeout in weft's rules file, from which weft derives its budget for MongoDB. If it
	// differs from MessageTimeout, Envoy sends the budget with each exchange, which costs a twelfth of its CPU time.
	WeftTimeout time.Duration
	// Retries is the maximum number of retries: of the GET of a rule if the legacy service fails, of other requests if
	// the legacy service has received nothing. Nil means 1.
	Retries *uint32
	// LegacyIdleTimeout is how long Envoy keeps an idle connection to the legacy service.
	LegacyIdleTimeout time.Duration

	// TrustedHops is the number of proxies in front of Envoy that append to x-forwarded-for.
	TrustedHops uint32
	// NormalizePaths makes Envoy normalize paths before it selects a route. The legacy service gets normalized paths.
	NormalizePaths bool
	// PreserveCase keeps the spelling of the names of HTTP/1 headers, which Envoy otherwise sends in lower case.
	PreserveCase bool
	// LegacyHTTP2 means that the legacy service also supports HTTP/2 without TLS. Then Envoy forwards HTTP/2 requests,
	// such as gRPC, over HTTP/2.
	LegacyHTTP2 bool

	// Collector, if not empty, is host:port of an OTLP collector (gRPC) for Envoy's traces. TraceSampling is the
	// percentage of requests that are traced if they do not belong to a trace.
	Collector     string
	TraceSampling float64

	// Module, if not nil, runs weft in Envoy's process. Weft, TLS and WeftStreams are then ignored.
	Module *Module

	legacyCluster string // cluster of the legacy service: "legacy", or the mesh's name of it
}

// DefaultWeftStreams is the default of Config.WeftStreams.
const DefaultWeftStreams = 1024

func (c Config) withDefaults() Config {
	c.RouteTimeout = cmp.Or(c.RouteTimeout, defaults.RouteTimeout)
	c.MessageTimeout = cmp.Or(c.MessageTimeout, defaults.MessageTimeout)
	c.WeftTimeout = cmp.Or(c.WeftTimeout, defaults.MessageTimeout)
	c.WeftStreams = cmp.Or(c.WeftStreams, DefaultWeftStreams)
	c.Retries = cmp.Or(c.Retries, new(uint32(defaults.Retries)))
	c.LegacyIdleTimeout = cmp.Or(c.LegacyIdleTimeout, defaults.LegacyIdleTimeout)
	c.legacyCluster = "legacy"
	if c.Module != nil {
		c.Rules = withoutFallback(c.Rules)
	}
	return c
}

// address parses host:port, or unix:PATH (also unix:///PATH) as in gRPC. The host may be a name.
func address(s string) (*corev3.Address, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("address %q: not UTF-8", s)
	}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			return nil, fmt.Errorf("address %q: no path after \"unix:\"", s)
		}
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return nil, fmt.Errorf("address %q: want host:port", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("address %q: port is not a number from 0 to 65535", s)
	}
	if host == "" {
		return nil, fmt.Errorf("address %q: no host before the colon; 0.0.0.0 is every IPv4 address of this machine", s)
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(n)},
	}}}, nil
}

// isName reports whether the host of a is a name, which Envoy must resolve.
func isName(a *corev3.Address) bool {
	host := a.GetSocketAddress().GetAddress()
	_, err := netip.ParseAddr(host)
	return host != "" && err != nil
}

// Fingerprint identifies the part of the configuration that depends only on the rules. Envoy sends it to weft with its
// health checks ([extproc.ConfigHeader]), so that weft can report a configuration made from other rules.
func Fingerprint(rules []*enrich.Rule) string {
	c := Config{Rules: rules}.withDefaults()
	var headers proto.Message = forwardedHeaders(rules)
	if credentials(rules) == nil {
		headers = forwardedHeaders(rules).GetAllowedHeaders() // as weft hashed them when no rule kept cores
	}
	messages := []proto.Message{
		routes(c), localReplies(c), wrapperspb.UInt32(bufferLimit(c)), headers, metadataOptions(rules),
	}
	for _, f := range fallbackFilters(rules) {
		messages = append(messages, f)
	}
	hash := sha256.New()
	for _, m := range messages {
		hash.Write(marshalAny(m).GetValue())
	}
	return hex.EncodeToString(hash.Sum(nil)[:6])
}
