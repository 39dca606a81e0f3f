package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

// Prometheus is a running Prometheus, on 127.0.0.1 only. End it with Stop.
type Prometheus struct {
	*Process
	port int
}

// StartPrometheus starts a Prometheus with a configuration (YAML) and returns when it answers. The folder holds all that it
// writes; it is made when it does not exist. The context limits the start, not the life of the server.
func StartPrometheus(ctx context.Context, dir string, config []byte) (*Prometheus, error) {
	path, err := Tool("prometheus")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("prometheus needs a folder for its data: %w", err)
	}
	file := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	process, err := Start(Command{
		Name: "prometheus", Path: path, Log: filepath.Join(dir, "prometheus.log"),
		Args: []string{"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address},
	})
	if err != nil {
		return nil, err
	}
	prometheus := &Prometheus{Process: process, port: port}
	ready := func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, prometheus.URL()+"/-/ready", nil)
		if err != nil {
			return err
		}
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			err = errors.New(response.Status)
		}
		return errors.Join(err, response.Body.Close())
	}
	if err := process.AwaitReady(ctx, ready); err != nil {
		return nil, errors.Join(err, process.Kill())
	}
	return prometheus, nil
}

// URL is where its API is, without a slash at the end.
func (p *Prometheus) URL() string { return "http://127.0.0.1:" + strconv.Itoa(p.port) }
