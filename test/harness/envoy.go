package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// EnvoyOptions are options for StartEnvoy.
type EnvoyOptions struct {
	Dir       string   // working directory, with envoy.yaml and envoy-admin.txt; created if it does not exist
	Bootstrap []byte   // YAML; must have an admin address, whose port may be 0
	Log       string   // log file; empty means envoy.log in Dir
	Args      []string // additional arguments
	Env       []string // additional environment variables
}

// Envoy is a running Envoy.
type Envoy struct {
	*Process
	admin string
}

// StartEnvoy starts Envoy and returns when its admin interface reports LIVE. See [Start] for ctx. If Envoy rejects the
// bootstrap, the error contains Envoy's log.
func StartEnvoy(ctx context.Context, o EnvoyOptions) (*Envoy, error) {
	path, err := Tool("envoy")
	if err != nil {
		return nil, err
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("create envoy's directory: %w", err)
	}
	bootstrap, address := filepath.Join(o.Dir, "envoy.yaml"), filepath.Join(o.Dir, "envoy-admin.txt")
	if err := os.WriteFile(bootstrap, o.Bootstrap, 0o644); err != nil {
		return nil, fmt.Errorf("write envoy's bootstrap: %w", err)
	}
	if err := os.Remove(address); err != nil && !errors.Is(err, fs.ErrNotExist) { // from a previous run
		return nil, fmt.Errorf("remove envoy's old admin address: %w", err)
	}
	if o.Log == "" {
		o.Log = filepath.Join(o.Dir, "envoy.log")
	}
	envoy := &Envoy{}
	envoy.Process, err = Start(ctx, Command{
		Name: "envoy", Path: path, Dir: o.Dir, Log: o.Log, Env: o.Env,
		Args: append([]string{
			"-c", bootstrap, "--admin-address-path", address, "--disable-hot-restart", "--log-level", "warning",
			"--file-flush-interval-msec", "500", // tests read the access log
		}, o.Args...),
		Ready: func(ctx context.Context, _ *Process) error {
			text, err := os.ReadFile(address)
			if err != nil {
				return err
			}
			envoy.admin = "http://" + strings.TrimSpace(string(text))
			answer, err := Get(ctx, envoy.admin+"/ready")
			if err == nil && strings.TrimSpace(answer.Body) != "LIVE" {
				err = fmt.Errorf("its state is %q", answer.Body)
			}
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return envoy, nil
}

// Admin returns the base URL of the admin interface, without a trailing slash.
func (e *Envoy) Admin() string { return e.admin }

// Stat returns the value of a counter or a gauge.
func (e *Envoy) Stat(ctx context.Context, name string) (int, error) {
	var stats struct{ Stats []struct{ Value int } }
	if err := e.get(ctx, "/stats?format=json&filter=^"+regexp.QuoteMeta(name)+"$", &stats); err != nil {
		return 0, err
	}
	if len(stats.Stats) != 1 {
		return 0, fmt.Errorf("envoy has %d statistics with the name %s", len(stats.Stats), name)
	}
	return stats.Stats[0].Value, nil
}

// AwaitIdle waits until no request from a client, to weft or to the legacy service is open.
func (e *Envoy) AwaitIdle(ctx context.Context) error {
	return e.Await(ctx, func(ctx context.Context) error {
		for _, peer := range []string{"cluster.weft.upstream", "cluster.legacy.upstream", "http.main.downstream"} {
			if n, err := e.Stat(ctx, peer+"_rq_active"); err != nil || n != 0 {
				return errors.Join(err, fmt.Errorf("%s_rq_active: %d", peer, n))
			}
		}
		return nil
	})
}

// ListenerAddr returns the host:port of a listener. It has the actual port if the bootstrap has port 0.
func (e *Envoy) ListenerAddr(ctx context.Context, name string) (string, error) {
	var answer struct {
		Listeners []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Host string `json:"address"`
					Port int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := e.get(ctx, "/listeners?format=json", &answer); err != nil {
		return "", err
	}
	for _, listener := range answer.Listeners {
		if listener.Name == name {
			return net.JoinHostPort(listener.Address.Socket.Host, strconv.Itoa(listener.Address.Socket.Port)), nil
		}
	}
	return "", fmt.Errorf("envoy has no listener %q", name)
}

// get decodes a JSON page of the admin interface.
func (e *Envoy) get(ctx context.Context, path string, page any) error {
	answer, err := Get(ctx, e.admin+path)
	if err == nil && answer.Status == http.StatusOK {
		err = json.Unmarshal([]byte(answer.Body), page)
	}
	if err != nil || answer.Status != http.StatusOK {
		return fmt.Errorf("envoy's admin interface: %s: %w, %s", path, err, answer)
	}
	return nil
}
