package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"

	"github.com/goccy/go-yaml"
)

// envoyConfig returns the bootstrap that a weft binary prints for Envoy. An empty rules means the built-in rules.
func envoyConfig(ctx context.Context, binary, legacy, weft, rules string) ([]byte, error) {
	args := []string{
		"envoy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--legacy", legacy, "--weft", weft,
		// On a busy machine the default timeouts would turn composites into cheaper, degraded responses.
		"--route-timeout", "1m", "--message-timeout", "30s",
	}
	if rules != "" {
		args = append(args, "--rules", rules)
	}
	command := exec.CommandContext(ctx, binary, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	config, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", command, err, stderr.Bytes())
	}
	return config, nil
}

// replaceWeft replaces weft's HTTP filters in a bootstrap and removes the rest of weft's configuration. Routes,
// timeouts and access logs stay, so that the variants differ only in their filters.
func replaceWeft(bootstrap []byte, filters ...any) ([]byte, error) {
	var config any
	if err := yaml.Unmarshal(bootstrap, &config); err != nil {
		return nil, err
	}
	replaceFilters(config, filters)
	return json.Marshal(config) // which is YAML, too
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

// noopFilter returns the filter of tutorials: request headers, response headers, and the whole response body.
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
