package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/test/harness"
)

// Names of the variants.
const (
	envoyAlone         = "Envoy alone"
	noopExtProc        = "no-op ext_proc"
	noopModule         = "no-op module"
	weftNow            = "weft"
	weftBefore         = "weft before"
	weftInEnvoy        = "weft in Envoy"
	goAggregator       = "Go aggregator"
	goAggregatorInMesh = "Go aggregator, in the mesh"
	fastAPIAggregator  = "FastAPI aggregator"
)

// variant is one way to serve the composites.
type variant struct {
	name     string
	url      string                      // of its Envoy
	pids     map[string]int              // by name, without the shared processes
	valid    func(url, body string) bool // checks a response
	admin    string                      // host:port of weft's admin listener; empty for others
	capacity float64                     // requests/s in a closed loop
}

// variant returns the variant with the name, or nil if it does not run.
func (b *testbed) variant(name string) *variant {
	i := slices.IndexFunc(b.variants, func(v *variant) bool { return v.name == name })
	if i < 0 {
		return nil
	}
	return b.variants[i]
}

// startVariants starts the variants with the names, or all if there are no names. Their reads of MongoDB are delayed in
// each direction.
func (b *testbed) startVariants(ctx context.Context, names []string, delay time.Duration) error {
	b.readURI = b.shared.Mongod.URI()
	if delay > 0 {
		mongod := strings.TrimPrefix(b.readURI, "mongodb://")
		addr, p, err := startSelf(ctx, b.part, "delay", "-to", mongod, "-delay", delay.String())
		if err != nil {
			return err
		}
		b.proxy, b.readURI = p, "mongodb://"+addr
	}
	for _, s := range []struct {
		name  string
		start func(context.Context, *variant) error
	}{
		{envoyAlone, b.startEnvoyAlone},
		{noopExtProc, b.startNoop},
		{noopModule, b.startNoopModule},
		{weftNow, b.startWeftNow},
		{weftBefore, b.startWeftBefore},
		{weftInEnvoy, b.startWeftInEnvoy},
		{goAggregator, b.startGoAggregator},
		{goAggregatorInMesh, b.startGoAggregatorInMesh},
		{fastAPIAggregator, b.startFastAPI},
	} {
		isMissing := s.name == weftBefore && b.baseline == "" || s.name == weftInEnvoy && b.module == "" ||
			s.name == noopModule && b.noopModule == "" || s.name == fastAPIAggregator && b.python == ""
		if isMissing || len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		v := &variant{name: s.name, pids: map[string]int{}, valid: isComposite}
		if err := s.start(ctx, v); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		b.variants = append(b.variants, v)
	}
	return nil
}

func (b *testbed) startEnvoyAlone(ctx context.Context, v *variant) error {
	v.valid = isCore
	return b.startPlainEnvoy(ctx, v, b.shared.LegacyAddr)
}

// startPlainEnvoy starts an Envoy without an external processor in front of an upstream.
func (b *testbed) startPlainEnvoy(ctx context.Context, v *variant, upstream string) error {
	return b.startEnvoyWith(ctx, v, upstream, "unix:unused")
}

// startEnvoyWith starts an Envoy with filters instead of weft's in front of an upstream. weft is the address in its
// cluster of that name.
func (b *testbed) startEnvoyWith(ctx context.Context, v *variant, upstream, weft string, filters ...any) error {
	config, err := envoyConfig(ctx, b.weft, upstream, weft, "")
	if err != nil {
		return err
	}
	if config, err = replaceWeft(config, filters...); err != nil {
		return err
	}
	return b.startEnvoy(ctx, v, config)
}

func (b *testbed) startNoop(ctx context.Context, v *variant) error {
	v.valid = isCore
	socket := b.part.File("noop.sock")
	p, err := b.part.Start(ctx, harness.Command{
		Name: "noop", Path: os.Args[0], Args: []string{"-listen", socket, "noop"},
		Ready: harness.Listening("unix", socket),
	})
	if err != nil {
		return err
	}
	v.pids["sidecar"] = p.Pid()
	return b.startEnvoyWith(ctx, v, b.shared.LegacyAddr, "unix:"+socket, noopFilter())
}

func (b *testbed) startNoopModule(ctx context.Context, v *variant) error {
	v.valid = isCore
	library, err := filepath.Abs(b.noopModule)
	if err != nil {
		return err
	}
	return b.startEnvoyWith(ctx, v, b.shared.LegacyAddr, "unix:unused", moduleFilter(library))
}

func (b *testbed) startWeftNow(ctx context.Context, v *variant) error {
	return b.startWeft(ctx, v, b.weft, "")
}

func (b *testbed) startWeftBefore(ctx context.Context, v *variant) error {
	return b.startWeft(ctx, v, b.baseline, "")
}

// startWeft starts a weft with a rules file, or with its built-in rules if that is empty, and an Envoy with the
// configuration that the same binary prints.
func (b *testbed) startWeft(ctx context.Context, v *variant, binary, rules string) (err error) {
	if v.admin, err = harness.FreeAddr(); err != nil {
		return err
	}
	addr := "unix:" + b.part.File(v.name+".sock")
	args := []string{"serve", "--listen", addr, "--admin", v.admin, "--pprof"}
	if rules != "" {
		args = append(args, "--rules", rules)
	}
	p, err := b.part.Start(ctx, harness.Command{
		Name: v.name, Path: binary, Args: args, Env: []string{"WEFT_MONGODB_URI=" + b.readURI},
		Ready: harness.Serving("http://" + v.admin + "/readyz"),
	})
	if err != nil {
		return err
	}
	v.pids["sidecar"] = p.Pid()
	config, err := envoyConfig(ctx, binary, b.shared.LegacyAddr, addr, rules)
	if err != nil {
		return err
	}
	return b.startEnvoy(ctx, v, config)
}

// startWeftInEnvoy starts an Envoy that has weft in its process.
func (b *testbed) startWeftInEnvoy(ctx context.Context, v *variant) error {
	library, err := filepath.Abs(b.module)
	if err != nil {
		return err
	}
	if v.admin, err = harness.FreeAddr(); err != nil {
		return err
	}
	filter, err := json.Marshal(map[string]any{"admin": v.admin, "pprof": true, "mongodb-uri": b.readURI})
	if err != nil {
		return err
	}
	config, err := envoyConfig(ctx, b.weft, b.shared.LegacyAddr, "", "",
		"--mode", "module", "--module-library", library, "--module-config", string(filter))
	if err != nil {
		return err
	}
	return b.startEnvoy(ctx, v, config)
}

func (b *testbed) startGoAggregator(ctx context.Context, v *variant) error {
	return b.startAggregator(ctx, v, "http://"+b.shared.LegacyAddr)
}

// startAggregator starts the Go aggregator behind an Envoy.
func (b *testbed) startAggregator(ctx context.Context, v *variant, legacy string) error {
	addr, p, err := startSelf(ctx, b.part, "aggregator", "-legacy", legacy, "-mongodb-uri", b.readURI)
	if err != nil {
		return err
	}
	v.pids["aggregator"] = p.Pid()
	return b.startPlainEnvoy(ctx, v, addr)
}

// startGoAggregatorInMesh starts an aggregator that calls the legacy service through the Envoy of another variant.
func (b *testbed) startGoAggregatorInMesh(ctx context.Context, v *variant) error {
	alone := b.variant(envoyAlone)
	v.pids["Envoy to the legacy service"] = alone.pids["Envoy"]
	return b.startAggregator(ctx, v, alone.url)
}

func (b *testbed) startFastAPI(ctx context.Context, v *variant) error {
	addr, err := harness.FreeAddr()
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(addr, ":")
	p, err := b.part.Start(ctx, harness.Command{
		Name: "fastapi", Path: b.python,
		Env: []string{"LEGACY=http://" + b.shared.LegacyAddr, "MONGODB_URI=" + b.readURI},
		Args: []string{
			"-m", "uvicorn", "--app-dir", "bench/aggregator", "--port", port, "--http", "httptools", "--loop", "uvloop",
			"--no-access-log", "--log-level", "warning", "main:app",
		},
		Ready: harness.Listening("tcp", addr),
	})
	if err != nil {
		return err
	}
	v.pids["aggregator"] = p.Pid()
	return b.startPlainEnvoy(ctx, v, addr)
}

func (b *testbed) startEnvoy(ctx context.Context, v *variant, config []byte) error {
	if err := b.part.StartEnvoyWith(ctx, config, "--concurrency", strconv.Itoa(b.workers)); err != nil {
		return err
	}
	v.pids["Envoy"], v.url = b.part.Envoy.Pid(), b.part.URL
	return nil
}
