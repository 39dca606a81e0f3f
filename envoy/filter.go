package envoy

import (
	"slices"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"weft/enrich"
	"weft/envoy/defaults"
	"weft/extproc"
	"weft/internal/envoyhttp"
)

const extProcFilterName = "envoy.filters.http.ext_proc"

// filters returns weft's filters: the module, or the fallback, if a rule has one, and ext_proc.
func filters(c Config) ([]*hcmv3.HttpFilter, error) {
	if c.Module != nil {
		return append(claimsFilters(c.Rules), moduleFilter(c)), nil
	}
	budget := ""
	if c.MessageTimeout != c.WeftTimeout {
		budget = defaults.Budget(c.MessageTimeout).String()
	}
	extProc := &hcmv3.HttpFilter{}
	err := merge(extProc, "ext_proc", map[string]any{
		"Budget":            budget,
		"MessageTimeout":    c.MessageTimeout,
		"Metadata":          metadataOptions(c.Rules),
		"RequestAttributes": requestAttributes(c.Rules),
		"Attributes":        extproc.Attributes(),
		"Headers":           forwardedHeaders(c.Rules),
	})
	return append(fallbackFilters(c.Rules), extProc), err
}

// forwardedHeaders says which headers Envoy sends to weft: those that it reads or, if a rule keeps cores, all but
// credentials. A core is kept with the headers of its response, and a response may vary by any header of the request.
func forwardedHeaders(rules []*enrich.Rule) *extprocv3.HeaderForwardingRules {
	list := &matcherv3.ListStringMatcher{}
	if names := credentials(rules); names != nil {
		for _, name := range append(names, "set-cookie") {
			list.Patterns = append(list.Patterns, exact(name))
		}
		return &extprocv3.HeaderForwardingRules{DisallowedHeaders: list}
	}
	prefixes, names := extproc.Headers()
	for _, p := range prefixes {
		list.Patterns = append(list.Patterns,
			&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: p}})
	}
	for _, name := range names {
		list.Patterns = append(list.Patterns, exact(name))
	}
	return &extprocv3.HeaderForwardingRules{AllowedHeaders: list}
}

// requestAttributes returns the attributes of requests that Envoy sends to weft: whether they have credentials. Envoy
// supports no other ones for a route.
func requestAttributes(rules []*enrich.Rule) []string {
	if names := credentials(rules); names != nil {
		return extproc.CredentialAttributes(names)
	}
	return nil
}

// credentials returns the names of the headers with credentials; nil if no rule keeps cores.
func credentials(rules []*enrich.Rule) []string {
	for _, r := range rules {
		if r.Keeps() {
			return slices.Clone(r.Keep.Credentials) // which are the same for all rules
		}
	}
	return nil
}

// metadataOptions allows weft to set the metadata for the access log. If a rule needs the caller's identity, Envoy
// sends weft the claims that a preceding jwt_authn filter has verified. Otherwise it does not, because it sends them
// with each message.
func metadataOptions(rules []*enrich.Rule) *extprocv3.MetadataOptions {
	untyped := func(namespace string) *extprocv3.MetadataOptions_MetadataNamespaces {
		return &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: []string{namespace}}
	}
	options := &extprocv3.MetadataOptions{ReceivingNamespaces: untyped(envoyhttp.MetadataNamespace)}
	if len(withIdentity(rules)) > 0 {
		options.ForwardingNamespaces = untyped(envoyhttp.JWTMetadata)
	}
	return options
}

// withIdentity returns the rules that need the caller's identity.
func withIdentity(rules []*enrich.Rule) (found []*enrich.Rule) {
	for _, r := range rules {
		if r.Degrade == enrich.DegradeAuthenticated {
			found = append(found, r)
		}
	}
	return found
}

func httpFilterConfig(m proto.Message) *hcmv3.HttpFilter_TypedConfig {
	return &hcmv3.HttpFilter_TypedConfig{TypedConfig: marshalAny(m)}
}
