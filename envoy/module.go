package envoy

import (
	"errors"
	"fmt"
	"maps"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	modulev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/dynamic_modules/v3"
	modulefilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_modules/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
	"weft/envoy/defaults"
)

// Module is weft as a library in Envoy's process.
type Module struct {
	Library string // path of libweft.so, as Envoy finds it

	// Flags are the configuration of the filter: flags of "weft serve", with strings, numbers and bools as values.
	Flags map[string]any
}

const moduleFilterName = "envoy.filters.http.dynamic_modules"

// validate reports what the module cannot do. A nil Module is valid.
func (m *Module) validate(rules []*enrich.Rule) error {
	if m == nil {
		return nil
	}
	if m.Library == "" {
		return errors.New("the path of libweft.so is missing")
	}
	if _, err := structpb.NewStruct(m.Flags); err != nil {
		return fmt.Errorf("the configuration of the module: %w", err)
	}
	for _, r := range rules {
		if r.Degrade == enrich.DegradeAuthenticated {
			return fmt.Errorf("rule %q: degrade: authenticated needs weft as an external processor: "+
				"Envoy does not show the claims of a token to a module", r.Name)
		}
	}
	return nil
}

// withoutFallback returns rules without a fallback: weft is not down while Envoy is up.
func withoutFallback(rules []*enrich.Rule) []*enrich.Rule {
	var copies []*enrich.Rule
	for _, r := range rules {
		rule := *r
		rule.Fallback = enrich.FallbackLegacy
		copies = append(copies, &rule)
	}
	return copies
}

func moduleConfig(c Config) *modulev3.DynamicModuleConfig {
	return &modulev3.DynamicModuleConfig{
		Module: &corev3.AsyncDataSource{Specifier: &corev3.AsyncDataSource_Local{Local: &corev3.DataSource{
			Specifier: &corev3.DataSource_Filename{Filename: c.Module.Library},
		}}},
		DoNotClose: true, // the Go runtime cannot be unloaded
	}
}

// moduleFilter is weft in Envoy's process. It is disabled by default, as ext_proc is.
func moduleFilter(c Config) *hcmv3.HttpFilter {
	flags := maps.Clone(c.Module.Flags)
	if flags == nil {
		flags = map[string]any{}
	}
	if _, ok := flags["budget"]; !ok && c.MessageTimeout != c.WeftTimeout {
		flags["budget"] = defaults.Budget(c.MessageTimeout).String()
	}
	config, _ := structpb.NewStruct(flags) // validate has looked for errors
	return &hcmv3.HttpFilter{
		Name:     moduleFilterName,
		Disabled: true,
		ConfigType: httpFilterConfig(&modulefilterv3.DynamicModuleFilter{
			DynamicModuleConfig: moduleConfig(c), FilterName: "weft", FilterConfig: marshalAny(config),
		}),
	}
}

// modulePerRoute enables the filter on the route of a rule, whose name is the configuration if that matters; see
// [ruleRoute].
func modulePerRoute(c Config, r *enrich.Rule) *modulefilterv3.DynamicModuleFilterPerRoute {
	name := ""
	if isAmbiguous(c.Rules, r) {
		name = r.Name
	}
	return &modulefilterv3.DynamicModuleFilterPerRoute{
		DynamicModuleConfig: moduleConfig(c), FilterName: "weft", FilterConfig: marshalAny(wrapperspb.String(name)),
	}
}
