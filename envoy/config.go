// Package envoy makes the configuration that puts weft into Envoy, from the rules and with go-control-plane's types.
// Its tests run a real Envoy.
package envoy

import (
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
	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
	"weft/envoy/defaults"
)

// Config is what the configuration is made of.
type Config struct {
	Rules []*enrich.Rule

	Listen string // host:port that clients connect to
	Admin  string // host:port of Envoy's admin interface
	Legacy string // host:port of the legacy service; a name is resolved by Envoy, again and again
	Weft   string // weft's address: unix:PATH or host:port; several have commas between them
	TLS    TLS    // with weft; zero for none

	// WeftStreams is how many exchanges weft takes at once on a connection. Were it more than that, Envoy would send them
	// before it hears of weft's limit, and these would pass.
	WeftStreams uint32

	// Filters go before weft's: authentication, for example. What they refuse, weft passes.
	Filters []*hcmv3.HttpFilter

	// RouteTimeout is how long the legacy service may take for its whole answer, a retry included.
	RouteTimeout time.Duration
	// MessageTimeout is how long Envoy waits for each reply of weft before it goes on without. What is left of it
	// after a margin is weft's budget for MongoDB once the core is there.
	MessageTimeout time.Duration
	// Retries is how often a GET is tried again; nil is once.
	Retries *uint32

	// Collector, if not empty, is host:port of a collector that takes OTLP over gRPC: Envoy sends it traces, of so many of
	// the requests, in percent, that are not part of a trace already.
	Collector     string
	TraceSampling float64

	legacyCluster string // name of the cluster of the legacy service; "legacy" unless the mesh has another
}

// ready returns the Config with its defaults.
func (c Config) ready() Config {
	if c.RouteTimeout == 0 {
		c.RouteTimeout = defaults.RouteTimeout
	}
	if c.MessageTimeout == 0 {
		c.MessageTimeout = defaults.MessageTimeout
	}
	if c.WeftStreams == 0 {
		c.WeftStreams = DefaultWeftStreams
	}
	c.legacyCluster = "legacy"
	return c
}

// retries is how often a request is tried again.
func (c Config) retries() uint32 {
	if c.Retries == nil {
		return defaults.Retries
	}
	return *c.Retries
}

// DefaultWeftStreams is the default of Config.WeftStreams.
const DefaultWeftStreams = 1024

// budget is the part of the message timeout that weft may use up: a tenth is left for the way there and back.
func (c Config) budget() time.Duration { return c.MessageTimeout - c.MessageTimeout/10 }

// YAML renders a message as Envoy reads it. The order of the fields is the order of their definition, so that the same
// message always has the same text.
func YAML(m proto.Message) ([]byte, error) {
	fields, err := ordered(m)
	if err != nil {
		return nil, err
	}
	return yaml.MarshalWithOptions(fields, yaml.IndentSequence(true))
}

// address parses host:port, or unix:PATH (unix:///PATH) as gRPC spells it. The host may be a name.
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

// isName reports whether a is to be resolved.
func isName(a *corev3.Address) bool {
	host := a.GetSocketAddress().GetAddress()
	_, err := netip.ParseAddr(host)
	return host != "" && err != nil
}

// Fingerprint tells the configuration for some rules from that for others; what is not of the rules does not count. Envoy
// shows it to weft with each exchange ([extproc.Authority]), so that weft can say when Envoy has an old one.
func Fingerprint(rules []*enrich.Rule) string {
	c := Config{Rules: rules, RouteTimeout: defaults.RouteTimeout, MessageTimeout: defaults.MessageTimeout}
	hash := sha256.New()
	made := []proto.Message{routes(c), localReplies(c), wrapperspb.UInt32(bufferLimit(c)), forwardedHeaders(), metadataOptions(rules)}
	for _, f := range fallbackFilters(c) {
		made = append(made, f)
	}
	for _, m := range made {
		text, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			panic(err) // for a text that is not UTF-8, which rules are checked for
		}
		hash.Write(text)
	}
	return hex.EncodeToString(hash.Sum(nil)[:6])
}
