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
	for _, r := range rules {
		if r.Degrade == enrich.DegradeAuthenticated {
			return fmt.Errorf("rule %q: degrade: authenticated needs weft as an external processor: "+
				"modules cannot read the claims of a token", r.Name)
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

func moduleConfig(c Config) *modulev3.DynamicModuleConfig {
	return &modulev3.DynamicModuleConfig{
		Module: &corev3.AsyncDataSource{Specifier: &corev3.AsyncDataSource_Local{Local: &corev3.DataSource{
			Specifier: &corev3.DataSource_Filename{Filename: c.Module.Library},
		}}},
		DoNotClose: true, // the Go runtime cannot be unloaded
	}
}

// moduleFilter runs weft in Envoy's process. It is disabled by default, like ext_proc.
func moduleFilter(c Config) *hcmv3.HttpFilter {
	flags := maps.Clone(c.Module.Flags)
	if flags == nil {
		flags = map[string]any{}
	}
	if _, ok := flags["budget"]; !ok && c.MessageTimeout != c.WeftTimeout {
		flags["budget"] = defaults.Budget(c.MessageTimeout).String()
	}
	config, _ := structpb.NewStruct(flags) // validate has checked the flags
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
