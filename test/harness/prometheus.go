package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Prometheus is a running Prometheus on 127.0.0.1.
type Prometheus struct {
	*Process
	url string
}

// StartPrometheus starts a Prometheus with a configuration (YAML) and returns when it is ready. It creates the data
// directory if it does not exist. See [Start] for ctx.
func StartPrometheus(ctx context.Context, dir string, config []byte) (*Prometheus, error) {
	path, err := Tool("prometheus")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create prometheus's data directory: %w", err)
	}
	file := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	address, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	prometheus := &Prometheus{url: "http://" + address}
	prometheus.Process, err = Start(ctx, Command{
		Name: "prometheus", Path: path, Log: filepath.Join(dir, "prometheus.log"),
		Args: []string{
			"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"),
			"--web.listen-address=" + address,
		},
		Ready: Serving(prometheus.url + "/-/ready"),
	})
	return prometheus, err
}

// URL returns the base URL of the API, without a trailing slash.
func (p *Prometheus) URL() string { return p.url }
