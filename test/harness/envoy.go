package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// EnvoyOptions are options for StartEnvoy.
type EnvoyOptions struct {
	Path      string   // binary; default: the tool
	Dir       string   // working directory, with envoy.yaml and envoy-admin.txt; created if it does not exist
	Bootstrap []byte   // YAML; must have an admin address, whose port may be 0
	Log       string   // log file; empty means envoy.log in Dir
	Args      []string // additional arguments
	Env       []string // additional environment variables

	Prepare func(*exec.Cmd) // see [Command]
}

// Envoy is a running Envoy.
type Envoy struct {
	*Process
	admin string
}

// StartEnvoy starts Envoy and returns when its admin interface reports LIVE. See [Start] for ctx. If Envoy rejects the
// bootstrap, the error contains Envoy's log.
func StartEnvoy(ctx context.Context, o EnvoyOptions) (envoy *Envoy, err error) {
	if o.Path == "" {
		if o.Path, err = Tool("envoy"); err != nil {
			return nil, err
		}
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
	args := []string{
		"-c", bootstrap, "--admin-address-path", address, "--log-level", "warning",
		"--file-flush-interval-msec", "500", // tests read the access log
	}
	if !slices.Contains(o.Args, "--restart-epoch") {
		args = append(args, "--disable-hot-restart")
	}
	envoy = &Envoy{}
	envoy.Process, err = Start(ctx, Command{
		Name: "envoy", Path: o.Path, Dir: o.Dir, Log: o.Log, Env: o.Env, Prepare: o.Prepare,
		Args: append(args, o.Args...),
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
	values, err := e.stats(ctx, regexp.QuoteMeta(name))
	if err == nil && len(values) != 1 {
		err = fmt.Errorf("envoy has %d statistics with the name %s", len(values), name)
	}
	return values[name], err
}

// AwaitIdle waits until no request from a client, to weft or to the legacy service is open. A module has no requests to
// weft.
func (e *Envoy) AwaitIdle(ctx context.Context) error {
	return e.Await(ctx, func(ctx context.Context) error {
		open, err := e.stats(ctx, `(cluster\.(weft|legacy)\.upstream|http\.main\.downstream)_rq_active`)
		for name, n := range open {
			if n != 0 {
				err = errors.Join(err, fmt.Errorf("%s: %d", name, n))
			}
		}
		return err
	})
}

// stats returns the statistics whose names match a regular expression.
func (e *Envoy) stats(ctx context.Context, names string) (map[string]int, error) {
	var answer struct {
		Stats []struct {
			Name  string
			Value int
		}
	}
	if err := e.get(ctx, "/stats?format=json&filter=^"+url.QueryEscape(names)+"$", &answer); err != nil {
		return nil, err
	}
	values := map[string]int{}
	for _, stat := range answer.Stats {
		values[stat.Name] = stat.Value
	}
	return values, nil
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
