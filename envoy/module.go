package envoy

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	modulev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/dynamic_modules/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	modulefilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_modules/v3"
	setfilterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
	"weft/envoy/defaults"
	"weft/internal/envoyhttp"
)

// Module configures weft as a library in Envoy's process.
type Module struct {
	Library string // path of libweft.so in Envoy's file system

	// Flags is the configuration of the filter: flags of "weft serve". Values are strings, numbers or bools.
	Flags map[string]any
}

const moduleFilterName = "envoy.filters.http.dynamic_modules"

// validate returns an error if the module does not support a rule, or if the configuration is invalid. A nil Module is
// valid.
func (m *Module) validate(rules []*enrich.Rule) error {
	if m == nil {
		return nil
	}
	if m.Library == "" {
		return errors.New("path of libweft.so is empty; set --module-library")
	}
	if _, err := structpb.NewStruct(m.Flags); err != nil {
		return fmt.Errorf("configuration of the module: %w", err)
	}
	for _, r := range withIdentity(rules) {
		if strings.ContainsAny(r.Identity.Payload+r.Identity.Name, ":%()\n") {
			return fmt.Errorf("rule %q: identity: payload %q, claim %q: in a module, they must not contain any of :%%()",
				r.Name, r.Identity.Payload, r.Identity.Name)
		}
	}
	return nil
}

// withoutFallback returns rules without a fallback: the module runs whenever Envoy runs.
func withoutFallback(rules []*enrich.Rule) []*enrich.Rule {
	var copies []*enrich.Rule
	for _, r := range rules {
		rule := *r
		rule.Fallback = false
		copies = append(copies, &rule)
	}
	return copies
}

// claimsFilters returns a filter that copies the claims that rules need from the metadata of a preceding jwt_authn
// filter to [envoyhttp.ClaimsState], or none. In JSON, strings and numbers differ. If a rule keeps cores, the filter
// copies all claims.
func claimsFilters(rules []*enrich.Rule) []*hcmv3.HttpFilter {
	claims := map[string]any{}
	if credentials(rules) != nil { // a token may be a credential that is not in a header any more
		claims[envoyhttp.AnyClaims] = fmt.Sprintf("%%DYNAMIC_METADATA(%s)%%", envoyhttp.JWTMetadata)
	}
	for _, r := range withIdentity(rules) {
		id := r.Identity
		ofPayload, ok := claims[id.Payload].(map[string]any)
		if !ok {
			ofPayload = map[string]any{}
			claims[id.Payload] = ofPayload
		}
		ofPayload[id.Name] = fmt.Sprintf("%%DYNAMIC_METADATA(%s:%s:%s)%%", envoyhttp.JWTMetadata, id.Payload, id.Name)
	}
	if len(claims) == 0 {
		return nil
	}
	format, _ := structpb.NewStruct(claims) // rules are UTF-8
	return []*hcmv3.HttpFilter{{
		Name: "envoy.filters.http.set_filter_state",
		ConfigType: httpFilterConfig(&setfilterstatev3.Config{OnRequestHeaders: []*filterstatev3.FilterStateValue{{
			Key:        &filterstatev3.FilterStateValue_ObjectKey{ObjectKey: envoyhttp.ClaimsState},
			FactoryKey: "envoy.string",
			Value: &filterstatev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
				Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: format},
			}},
		}}}),
	}}
}

func moduleConfig(c Config) *modulev3.DynamicModuleConfig {
	return &modulev3.DynamicModuleConfig{
		Module: &corev3.AsyncDataSource{Specifier: &corev3.AsyncDataSource_Local{Local: &corev3.DataSource{
			Specifier: &corev3.DataSource_Filename{Filename: c.Module.Library},
		}}},
		DoNotClose: true, // the Go runtime cannot be unloaded
	}
}

// moduleFlags returns the configuration of the filter. It returns nil if weft is an external processor.
func moduleFlags(c Config) map[string]any {
	if c.Module == nil {
		return nil
	}
	flags := map[string]any{}
	maps.Copy(flags, c.Module.Flags)
	if _, ok := flags["budget"]; !ok && c.MessageTimeout != c.WeftTimeout {
		flags["budget"] = defaults.Budget(c.MessageTimeout).String()
	}
	return flags
}

// moduleFilter runs weft in Envoy's process. It is disabled by default, like ext_proc.
func moduleFilter(c Config) *hcmv3.HttpFilter {
	config, _ := structpb.NewStruct(moduleFlags(c)) // validate has checked the flags
	return &hcmv3.HttpFilter{
		Name:     moduleFilterName,
		Disabled: true,
		ConfigType: httpFilterConfig(&modulefilterv3.DynamicModuleFilter{
			DynamicModuleConfig: moduleConfig(c), FilterName: "weft", FilterConfig: marshalAny(config),
		}),
	}
}

// modulePerRoute enables the filter on the route of a rule. The configuration is the name of the rule if it matters
// (see ruleRoute).
func modulePerRoute(c Config, r *enrich.Rule) *modulefilterv3.DynamicModuleFilterPerRoute {
	name := ""
	if isAmbiguous(c.Rules, r) {
		name = r.Name
	}
	return &modulefilterv3.DynamicModuleFilterPerRoute{
		DynamicModuleConfig: moduleConfig(c), FilterName: "weft", FilterConfig: marshalAny(wrapperspb.String(name)),
	}
}
