// Package harness runs weft, Envoy, mongod, Prometheus and a legacy service for tests, for the demo and for the
// benchmark. Each process is a child that cannot outlive the process that started it. A [System] holds them together.
package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Tool returns the absolute path of a binary, "envoy", "mongod", "prometheus" or "promtool", or of the folder of a
// Python library, "grafana_foundation_sdk", in the folder .tools of the repository, which "make tools" fills. The
// repository is the nearest folder, from the working directory upwards, with the go.mod of module weft.
func Tool(name string) (string, error) {
	folders := map[string]string{ // as pinned in tools.txt and fetch_tools.py
		"envoy": "envoy-1.40.0", "mongod": "mongod-6.0.5",
		"prometheus": "prometheus-2.42.0", "promtool": "prometheus-2.42.0",
		"grafana_foundation_sdk": "grafana-foundation-sdk-11.6.0",
	}
	folder, known := folders[name]
	if !known {
		return "", fmt.Errorf("no tool is called %q; "+
			"there are envoy, mongod, prometheus, promtool and grafana_foundation_sdk", name)
	}
	root, err := repository()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, ".tools", folder, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is missing; run \"make tools\" (%w)", folder, err)
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
			return "", fmt.Errorf("%s is not inside weft's repository; run it from there, after \"make tools\"", start)
		}
	}
}
