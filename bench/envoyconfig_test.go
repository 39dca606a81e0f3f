package main

import (
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// TestReplaceWeft: other variants get weft's configuration without weft's filters, and with its routes and access log.
func TestReplaceWeft(t *testing.T) {
	config, err := replaceWeft([]byte(`
listeners:
  - filters:
      - typed_config:
          route_config:
            routes:
              - match: {prefix: /}
                route: {cluster: legacy, regex_rewrite: {substitution: "/\\1"}}
                typed_per_filter_config: {ext_proc: {}}
                request_headers_to_add: [{header: {key: accept-encoding}}]
                request_headers_to_remove: [range]
          http_filters: [{name: lua}, {name: ext_proc}, {name: router}]
          local_reply_config: {mappers: []}
          access_log: [{name: stdout}]
`), map[string]any{"name": "noop"})
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := yaml.Unmarshal(config, &got); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(`
listeners:
  - filters:
      - typed_config:
          route_config:
            routes:
              - match: {prefix: /}
                route: {cluster: legacy, regex_rewrite: {substitution: "/\\1"}}
          http_filters: [{name: noop}, {name: router}]
          access_log: [{name: stdout}]
`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
