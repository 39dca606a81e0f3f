// Package harness runs weft, Envoy, mongod, Prometheus and a legacy service for tests, the demo and the benchmark. Each
// is a child process that does not outlive its parent. A [System] contains them.
package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Tool returns the absolute path of a tool in the repository's .tools directory, which "make tools" fills: a binary
// ("envoy", "mongod", "redis-server", "prometheus" or "promtool") or the directory of a Python library
// ("grafana_foundation_sdk"). The repository is the nearest directory, from the working directory upwards, with the
// go.mod of module weft.
func Tool(name string) (string, error) {
	dirs := map[string]string{ // as pinned in tools.txt and fetch_tools.py
		"envoy": "envoy-1.40.0", "mongod": "mongod-6.0.5",
		"prometheus": "prometheus-2.42.0", "promtool": "prometheus-2.42.0",
		"redis-server": "redis-server-6.2.14", "grafana_foundation_sdk": "grafana-foundation-sdk-11.6.0",
	}
	dir, ok := dirs[name]
	if !ok {
		return "", fmt.Errorf("unknown tool %q; "+
			"use one of envoy, mongod, redis-server, prometheus, promtool and grafana_foundation_sdk", name)
	}
	root, err := repository()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, ".tools", dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is missing; run \"make tools\" (%w)", dir, err)
	}
	return path, nil
}

func repository() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		for line := range strings.Lines(string(text)) {
			if strings.TrimSpace(line) == "module weft" {
				return dir, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not in weft's repository; run this there, after \"make tools\"", start)
		}
	}
}
