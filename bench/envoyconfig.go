package main

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/goccy/go-yaml"

	"weft/test/harness"
)

// envoyConfig returns the bootstrap that a weft binary prints for Envoy. An empty rules means the built-in rules. more
// are additional arguments of "weft envoy".
func envoyConfig(ctx context.Context, binary, legacy, weft, rules string, more ...string) ([]byte, error) {
	// On a busy machine the default timeouts would turn composites into cheaper, degraded responses.
	args := []string{"--legacy", legacy, "--route-timeout", "1m", "--message-timeout", "30s"}
	if weft != "" {
		args = append(args, "--weft", weft)
	}
	if rules != "" {
		args = append(args, "--rules", rules)
	}
	return harness.Bootstrap(ctx, binary, append(args, more...)...)
}

// replaceWeft replaces weft's HTTP filters in a bootstrap and removes the rest of weft's configuration. Routes,
// timeouts and access logs stay, so that the variants differ only in their filters.
func replaceWeft(bootstrap []byte, filters ...any) ([]byte, error) {
	var config any
	if err := yaml.Unmarshal(bootstrap, &config); err != nil {
		return nil, err
	}
	replaceFilters(config, filters)
	return json.Marshal(config) // JSON is YAML
}

func replaceFilters(node any, filters []any) {
	switch node := node.(type) {
	case map[string]any:
		delete(node, "typed_per_filter_config")
		delete(node, "local_reply_config")
		delete(node, "request_headers_to_add")
		delete(node, "request_headers_to_remove")
		if old, ok := node["http_filters"].([]any); ok {
			node["http_filters"] = append(slices.Clone(filters), old[len(old)-1]) // the router
		}
		for _, child := range node {
			replaceFilters(child, filters)
		}
	case []any:
		for _, child := range node {
			replaceFilters(child, filters)
		}
	}
}

// moduleFilter returns the filter for a dynamic module that needs no configuration.
func moduleFilter(library string) any {
	return map[string]any{
		"name": "envoy.filters.http.dynamic_modules",
		"typed_config": map[string]any{
			"@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
			"dynamic_module_config": map[string]any{
				"module": map[string]any{"local": map[string]any{"filename": library}}, "do_not_close": true,
			},
			"filter_name": "noop",
		},
	}
}

// noopFilter returns a typical ext_proc filter: request headers, response headers, and the buffered response body.
func noopFilter() any {
	return map[string]any{
		"name": "envoy.filters.http.ext_proc",
		"typed_config": map[string]any{
			"@type":              "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
			"grpc_service":       map[string]any{"envoy_grpc": map[string]any{"cluster_name": "weft"}},
			"failure_mode_allow": true,
			"message_timeout":    "30s",
			"processing_mode": map[string]any{
				"request_header_mode": "SEND", "response_header_mode": "SEND", "response_body_mode": "BUFFERED",
				"request_trailer_mode": "SKIP", "response_trailer_mode": "SKIP",
			},
		},
	}
}
