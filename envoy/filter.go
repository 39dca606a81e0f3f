package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"weft/enrich"
	"weft/envoy/defaults"
	"weft/extproc"
	"weft/internal/envoyhttp"
)

const extProcFilterName = "envoy.filters.http.ext_proc"

// filters returns weft's filters: the module, or the fallback, if a rule has one, and ext_proc.
func filters(c Config) []*hcmv3.HttpFilter {
	if c.Module != nil {
		return append(claimsFilters(c.Rules), moduleFilter(c))
	}
	return append(fallbackFilters(c.Rules), extProcFilter(c))
}

// extProcFilter calls weft. If weft fails, the exchange continues without it (failure_mode_allow). Envoy sends a body
// only if weft requests it (allow_mode_override), and only headers that weft reads: cookies and credentials stay in
// Envoy. The processing mode is the default: headers of request and response, no bodies, no trailers.
func extProcFilter(c Config) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name: extProcFilterName,
		// The routes of rules enable it. If it were enabled for all requests, Envoy would also call it for malformed
		// requests without a route, and their clients would get no response.
		Disabled: true,
		ConfigType: httpFilterConfig(&extprocv3.ExternalProcessor{
			GrpcService: &corev3.GrpcService{
				TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
					ClusterName:      "weft",
					SkipEnvoyHeaders: true, // weft does not read x-envoy-internal and x-forwarded-for
				}},
				InitialMetadata: initialMetadata(c),
			},
			FailureModeAllow:   true,
			MessageTimeout:     durationpb.New(c.MessageTimeout),
			AllowModeOverride:  true,
			MetadataOptions:    metadataOptions(c.Rules),
			ResponseAttributes: extproc.Attributes(),
			ForwardRules:       &extprocv3.HeaderForwardingRules{AllowedHeaders: forwardedHeaders()},
		}),
	}
}

// initialMetadata returns the settings that differ from weft's rules file; Envoy sends them with each exchange.
func initialMetadata(c Config) []*corev3.HeaderValue {
	if c.MessageTimeout == c.WeftTimeout {
		return nil
	}
	return []*corev3.HeaderValue{{Key: extproc.BudgetHeader, Value: defaults.Budget(c.MessageTimeout).String()}}
}

// forwardedHeaders matches the headers that Envoy sends to weft.
func forwardedHeaders() *matcherv3.ListStringMatcher {
	list := &matcherv3.ListStringMatcher{}
	prefixes, names := extproc.Headers()
	for _, p := range prefixes {
		list.Patterns = append(list.Patterns,
			&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: p}})
	}
	for _, name := range names {
		list.Patterns = append(list.Patterns, exact(name))
	}
	return list
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
