package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// EnvoyOptions says how to start an Envoy.
type EnvoyOptions struct {
	Dir         string   // its working directory: holds envoy.yaml and envoy-admin.txt; made when it does not exist
	Bootstrap   []byte   // YAML; must have an admin address, whose port may be 0
	Concurrency int      // worker threads; 0 means one per CPU
	Log         string   // log file; "" means envoy.log in Dir
	Args        []string // more arguments for envoy
	Under       []string // a program that runs envoy, such as valgrind, with its arguments; nil for none
}

// Envoy is a running Envoy. End it with Stop.
type Envoy struct {
	*Process
	admin string
}

// StartEnvoy starts an Envoy and returns when it serves: its admin interface says LIVE. The context limits the start,
// not the life of the server. A bootstrap that Envoy refuses is an error that carries Envoy's own words.
func StartEnvoy(ctx context.Context, o EnvoyOptions) (*Envoy, error) {
	path, err := Tool("envoy")
	if err != nil {
		return nil, err
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("envoy needs a folder: %w", err)
	}
	bootstrap, address := filepath.Join(o.Dir, "envoy.yaml"), filepath.Join(o.Dir, "envoy-admin.txt")
	if err := os.WriteFile(bootstrap, o.Bootstrap, 0o644); err != nil {
		return nil, fmt.Errorf("envoy needs its bootstrap: %w", err)
	}
	if err := os.Remove(address); err != nil && !errors.Is(err, fs.ErrNotExist) { // of the run before
		return nil, fmt.Errorf("envoy writes its admin address there: %w", err)
	}
	if o.Log == "" {
		o.Log = filepath.Join(o.Dir, "envoy.log")
	}
	arguments := []string{
		"-c", bootstrap, "--admin-address-path", address, "--disable-hot-restart", "--log-level", "warning",
		"--file-flush-interval-msec", "500", // the access log is to be read while it happens
	}
	if o.Concurrency > 0 {
		arguments = append(arguments, "--concurrency", strconv.Itoa(o.Concurrency))
	}
	command := append(slices.Concat(o.Under, []string{path}, arguments), o.Args...)
	process, err := Start(Command{Name: "envoy", Path: command[0], Dir: o.Dir, Log: o.Log, Args: command[1:]})
	if err != nil {
		return nil, err
	}
	envoy := &Envoy{Process: process}
	live := func(ctx context.Context) error {
		text, err := os.ReadFile(address)
		if err != nil {
			return err
		}
		envoy.admin = "http://" + strings.TrimSpace(string(text))
		state, err := get(ctx, envoy.admin+"/ready")
		if err == nil && strings.TrimSpace(string(state)) != "LIVE" {
			err = fmt.Errorf("its state is %q", state)
		}
		return err
	}
	if err := process.AwaitReady(ctx, live); err != nil {
		return nil, errors.Join(err, process.Kill())
	}
	return envoy, nil
}

// Admin is the base URL of the admin interface, without a slash at the end.
func (e *Envoy) Admin() string { return e.admin }

// ListenerAddr returns the host:port on which the named listener of the bootstrap listens; useful when the bootstrap
// says port 0.
func (e *Envoy) ListenerAddr(ctx context.Context, name string) (string, error) {
	text, err := get(ctx, e.admin+"/listeners?format=json")
	if err != nil {
		return "", err
	}
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
	if err := json.Unmarshal(text, &answer); err != nil {
		return "", fmt.Errorf("envoy's list of listeners: %w", err)
	}
	for _, listener := range answer.Listeners {
		if listener.Name == name {
			return net.JoinHostPort(listener.Address.Socket.Host, strconv.Itoa(listener.Address.Socket.Port)), nil
		}
	}
	return "", fmt.Errorf("envoy has no listener %q: %s", name, text)
}

// get reads one page of the admin interface, over a connection of its own so that none is left open.
func get(ctx context.Context, url string) (_ []byte, err error) {
	transport := &http.Transport{DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("envoy's admin interface: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("envoy's admin interface answers %s to %s: %s", response.Status, url, body)
	}
	return body, err
}
