package envoy

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"weft/envoy/defaults"
	"weft/extproc"
)

// GatewayOptions identify the Gateway.
type GatewayOptions struct {
	Namespace string
	Gateway   string // name of the Gateway
}

// Gateway returns the objects for Envoy Gateway, as YAML documents. They are not made with the Go types of the Gateway
// API and Envoy Gateway: those bring 112 packages with them, with which the binary of weft would have 44.9 MB in place
// of 33.0. test/k8s/manifests decodes the output strictly into these types.
func Gateway(c Config, o GatewayOptions) ([]byte, error) {
	c = c.withDefaults()
	legacy, legacyErr := backendRef("legacy", c.Legacy)
	weft, weftErr := backendRef("weft", c.Weft)
	var tlsErr error
	if c.TLS != (TLS{}) {
		tlsErr = errors.New("--format gateway does not support --weft-tls-…: " +
			"Envoy Gateway uses TLS to a Service if a BackendTLSPolicy of yours names it")
	}
	if err := cmp.Or(legacyErr, tlsErr, weftErr); err != nil {
		return nil, err
	}
	return render("gateway.yaml.tmpl", map[string]any{
		"Namespace":      o.Namespace,
		"Gateway":        o.Gateway,
		"Rules":          c.Rules,
		"Legacy":         legacy,
		"Weft":           weft,
		"RouteTimeout":   c.RouteTimeout,
		"MessageTimeout": c.MessageTimeout,
		"Budget":         defaults.Budget(c.MessageTimeout),
		"BufferKiB":      bufferLimit(c)>>10 + 1,
		"Attributes":     extproc.Attributes(),
		"Retries":        *c.Retries,
	})
}

// service is a backendRef.
type service struct {
	Name string `json:"name"`
	Port uint64 `json:"port"`
}

func backendRef(flag, address string) (service, error) {
	host, port, ok := strings.Cut(address, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || host == "" || err != nil {
		return service{}, fmt.Errorf("--%s %q: want name:port of a Service, as in %s:8080", flag, address, flag)
	}
	return service{host, n}, nil
}
