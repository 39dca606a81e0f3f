package envoy

import (
	"slices"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"weft/enrich"
	"weft/extproc"
)

const filterName = "envoy.filters.http.ext_proc"

// extProcFilter calls weft. Without weft, or against it, the exchange goes on (failure_mode_allow). Bodies are not
// sent unless weft asks for one (allow_mode_override), and of the headers only those that it reads: cookies and
// credentials stay here.
func extProcFilter(c Config) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name: filterName,
		// Routes of rules enable it. Enabled for all, it would also be asked about requests that are so malformed that they
		// have no route, whose clients would then get no answer at all.
		Disabled: true,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&extprocv3.ExternalProcessor{
			GrpcService: &corev3.GrpcService{
				TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
					ClusterName:      weftCluster,
					SkipEnvoyHeaders: true, // x-envoy-internal and x-forwarded-for, of no use to weft
				}},
				InitialMetadata: []*corev3.HeaderValue{
					{Key: extproc.BudgetHeader, Value: c.budget().String()},
					{Key: extproc.ConfigHeader, Value: Fingerprint(c.Rules)},
				},
			},
			FailureModeAllow: true,
			MessageTimeout:   durationpb.New(c.MessageTimeout),
			ProcessingMode: &extprocv3.ProcessingMode{
				RequestHeaderMode:   extprocv3.ProcessingMode_SEND,
				ResponseHeaderMode:  extprocv3.ProcessingMode_SEND,
				RequestBodyMode:     extprocv3.ProcessingMode_NONE,
				ResponseBodyMode:    extprocv3.ProcessingMode_NONE,
				RequestTrailerMode:  extprocv3.ProcessingMode_SKIP,
				ResponseTrailerMode: extprocv3.ProcessingMode_SKIP,
			},
			AllowModeOverride:  true,
			MetadataOptions:    metadataOptions(c.Rules),
			ResponseAttributes: extproc.Attributes(),
			ForwardRules:       &extprocv3.HeaderForwardingRules{AllowedHeaders: forwardedHeaders()},
		})},
	}
}

// forwardedHeaders are those that weft gets to see.
func forwardedHeaders() *matcherv3.ListStringMatcher {
	forwarded := &matcherv3.ListStringMatcher{}
	prefixes, names := extproc.Headers()
	for _, p := range prefixes {
		forwarded.Patterns = append(forwarded.Patterns, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: p}})
	}
	for _, h := range names {
		forwarded.Patterns = append(forwarded.Patterns, exact(h))
	}
	return forwarded
}

// metadataOptions lets in what weft says of an exchange, for the access log. They have weft told who the caller is, as a
// jwt_authn filter before this one has verified it, if a rule asks for that: it is sent with each message.
func metadataOptions(rules []*enrich.Rule) *extprocv3.MetadataOptions {
	options := &extprocv3.MetadataOptions{
		ReceivingNamespaces: &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: []string{extproc.MetadataNamespace}},
	}
	asks := func(r *enrich.Rule) bool { return r.Degrade == enrich.DegradeAuthenticated }
	if slices.ContainsFunc(rules, asks) {
		options.ForwardingNamespaces = &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: []string{extproc.JWTMetadata}}
	}
	return options
}

func routerFilter() *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name:       "envoy.filters.http.router",
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&routerv3.Router{})},
	}
}

// accessLog says of each request who answered it (response code details), what weft made of it, and who took how long: the
// legacy service, MongoDB beside it, and weft in addition. x-weft is there for answers of the fallback's, too.
func accessLog() []*accesslogv3.AccessLog {
	const format = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% ` +
		`%RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS% %BYTES_SENT%B %DURATION%ms legacy=%UPSTREAM_HOST% weft="%RESP(X-WEFT)%" rule=%DYNAMIC_METADATA(weft:rule)% ` +
		`legacy_ms=%DYNAMIC_METADATA(weft:legacy_ms)% mongodb_ms=%DYNAMIC_METADATA(weft:mongodb_ms)% added_ms=%DYNAMIC_METADATA(weft:added_ms)% ` +
		`request=%REQ(X-REQUEST-ID)% trace=%TRACE_ID%` + "\n"
	return []*accesslogv3.AccessLog{{
		Name: "envoy.access_loggers.stdout",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed(&streamv3.StdoutAccessLog{
			AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{LogFormat: &corev3.SubstitutionFormatString{
				Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: inline(format)},
			}},
		})},
	}}
}
