package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"
	"google.golang.org/protobuf/types/known/anypb"

	"weft/enrich"
	"weft/envoy"
	"weft/internal/stack"
)

// users is how many there are in both systems; each request is for a random one of them.
const users = 100_000

// variant is one way to answer, with its processes.
type variant struct {
	name      string
	url       string                      // of its Envoy
	processes map[string]int              // pids by name, without those that all variants share
	isWhole   func(url, body string) bool // what its answers must be
	admin     string                      // host:port of weft's admin; empty for others
	capacity  float64                     // requests a second in a closed loop
}

// world is everything that runs.
type world struct {
	options
	dir       string
	processes []*stack.Process
	mongod    *stack.Mongod
	legacy    *stack.Process
	legacyAt  string // host:port
	slow      *slowProxy
	mongodb   string // URI by which the variants read MongoDB
	variants  []*variant
	counted   bool // Envoys run in valgrind
}

func (w *world) variant(name string) *variant {
	for _, v := range w.variants {
		if v.name == name {
			return v
		}
	}
	return nil
}

// start starts a legacy service, a mongod, which is read through a slow proxy if that is asked for, and all variants.
func (w *world) start(ctx context.Context, slow bool) (err error) {
	if w.dir, err = os.MkdirTemp("", "weft-bench"); err != nil {
		return err
	}
	if w.mongod, err = stack.StartMongod(ctx, stack.MongodOptions{Dir: filepath.Join(w.dir, "mongod")}); err != nil {
		return err
	}
	w.processes = append(w.processes, w.mongod.Process)
	if err := seed(ctx, w.mongod.URI()); err != nil {
		return err
	}
	if w.legacyAt, w.legacy, err = w.self(ctx, "legacy"); err != nil {
		return err
	}
	w.mongodb = w.mongod.URI()
	if slow {
		if w.slow, err = startSlowProxy(strings.TrimPrefix(w.mongod.URI(), "mongodb://")); err != nil {
			return err
		}
		// Without directConnection the driver would go on to the address that mongod gives for itself.
		w.mongodb = "mongodb://" + w.slow.listener.Addr().String() + "/?directConnection=true"
	}
	return w.startVariants(ctx)
}

func (w *world) startVariants(ctx context.Context) error {
	alone := &variant{name: "Envoy alone", processes: map[string]int{}, isWhole: isCore}
	if err := w.startEnvoy(ctx, alone, w.legacyAt, "unix:none", without); err != nil {
		return err
	}
	noop := &variant{name: "no-op ext_proc", processes: map[string]int{}, isWhole: isCore}
	socket := filepath.Join(w.dir, "noop.sock")
	server, err := w.command(ctx, "no-op", os.Args[0], nil, "-listen", socket, "noop")
	if err != nil {
		return err
	}
	noop.processes["sidecar"] = server.Pid()
	if err := w.startEnvoy(ctx, noop, w.legacyAt, "unix:"+socket, buffered); err != nil {
		return err
	}
	weft, err := w.startWeft(ctx, "weft", enrich.UserProfile(), "")
	if err != nil {
		return err
	}
	for name, legacy := range map[string]string{"Go aggregator": "http://" + w.legacyAt, "Go aggregator, in the mesh": alone.url} {
		at, process, err := w.self(ctx, "aggregator", "-legacy", legacy, "-mongodb-uri", w.mongodb)
		if err != nil {
			return err
		}
		v := &variant{name: name, processes: map[string]int{"aggregator": process.Pid()}, isWhole: isComposite}
		if legacy == alone.url {
			v.processes["Envoy to the legacy service"] = alone.processes["Envoy"]
		}
		if err := w.startEnvoy(ctx, v, at, "unix:none", without); err != nil {
			return err
		}
		w.variants = append(w.variants, v)
	}
	if w.variants[0].name != "Go aggregator" {
		w.variants[0], w.variants[1] = w.variants[1], w.variants[0]
	}
	w.variants = append([]*variant{alone, noop, weft}, w.variants...)
	if w.python == "" {
		return nil
	}
	port, err := stack.FreePort()
	if err != nil {
		return err
	}
	at := fmt.Sprintf("127.0.0.1:%d", port)
	process, err := w.command(ctx, "fastapi", w.python, []string{"LEGACY=http://" + w.legacyAt, "MONGODB_URI=" + w.mongodb},
		"-m", "uvicorn", "--app-dir", "bench/aggregator", "--port", fmt.Sprint(port), "--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning", "main:app")
	if err != nil {
		return err
	}
	fastAPI := &variant{name: "FastAPI aggregator", processes: map[string]int{"aggregator": process.Pid()}, isWhole: isComposite}
	w.variants = append(w.variants, fastAPI)
	if err := await(ctx, process, at); err != nil {
		return err
	}
	return w.startEnvoy(ctx, fastAPI, at, "unix:none", without)
}

// startWeft starts a weft with the rules of a file, or without one with those that it has by itself, and its Envoy.
func (w *world) startWeft(ctx context.Context, name string, rules []*enrich.Rule, file string) (*variant, error) {
	port, err := stack.FreePort()
	if err != nil {
		return nil, err
	}
	v := &variant{name: name, processes: map[string]int{}, isWhole: isComposite, admin: fmt.Sprintf("127.0.0.1:%d", port)}
	socket := filepath.Join(w.dir, strings.ReplaceAll(name, " ", "-")+".sock")
	args := []string{"serve", "--listen", "unix:" + socket, "--admin", v.admin, "--pprof"}
	if file != "" {
		args = append(args, "--rules", file)
	}
	server, err := w.command(ctx, name, w.weft, []string{"WEFT_MONGODB_URI=" + w.mongodb}, args...)
	if err != nil {
		return nil, err
	}
	v.processes["sidecar"] = server.Pid()
	return v, w.startEnvoyFor(ctx, v, rules, w.legacyAt, "unix:"+socket, nil)
}

// stop ends what runs.
func (w *world) stop() error {
	var errs []error
	for i := len(w.processes) - 1; i >= 0; i-- {
		errs = append(errs, w.processes[i].Kill())
	}
	if w.slow != nil {
		w.slow.close()
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}

// self starts a server of this program on a free port.
func (w *world) self(ctx context.Context, mode string, args ...string) (at string, _ *stack.Process, err error) {
	port, err := stack.FreePort()
	if err != nil {
		return "", nil, err
	}
	at = fmt.Sprintf("127.0.0.1:%d", port)
	process, err := w.command(ctx, mode, os.Args[0], nil, append([]string{"-listen", at}, append(args, mode)...)...)
	if err != nil {
		return "", nil, err
	}
	return at, process, await(ctx, process, at)
}

func (w *world) command(_ context.Context, name, path string, env []string, args ...string) (*stack.Process, error) {
	p, err := stack.Start(stack.Command{
		Name: name, Path: path, Args: args, Env: env, Log: filepath.Join(w.dir, fmt.Sprintf("%s-%d.log", name, len(w.processes))),
	})
	if err == nil {
		w.processes = append(w.processes, p)
	}
	return p, err
}

func await(ctx context.Context, p *stack.Process, at string) error {
	return p.AwaitReady(ctx, func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", at)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// startEnvoy starts the Envoy of a variant: that of weft, with a change.
func (w *world) startEnvoy(ctx context.Context, v *variant, legacy, weft string, change func(*hcmv3.HttpConnectionManager) error) error {
	return w.startEnvoyFor(ctx, v, enrich.UserProfile(), legacy, weft, change)
}

func (w *world) startEnvoyFor(ctx context.Context, v *variant, rules []*enrich.Rule, legacy, weft string, change func(*hcmv3.HttpConnectionManager) error) error {
	b, err := envoy.Bootstrap(envoy.Config{
		Rules: rules, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Legacy: legacy, Weft: weft,
		// A machine that is full is not to make answers that are cheaper than they should be.
		RouteTimeout: time.Minute, MessageTimeout: 30 * time.Second,
	})
	if err != nil {
		return err
	}
	if change != nil {
		if err := changeManager(b, change); err != nil {
			return err
		}
	}
	text, err := envoy.YAML(b)
	if err != nil {
		return err
	}
	o := stack.EnvoyOptions{Dir: filepath.Join(w.dir, strings.ReplaceAll(v.name, " ", "-")), Bootstrap: text, Concurrency: 2}
	if w.counted {
		o.Under, o.Concurrency = w.valgrind(), 1
	}
	e, err := stack.StartEnvoy(ctx, o)
	if err != nil {
		return err
	}
	w.processes = append(w.processes, e.Process)
	v.processes["Envoy"] = e.Pid()
	at, err := e.ListenerAddr(ctx, envoy.ListenerName)
	v.url = "http://" + at
	return err
}

func changeManager(b *bootstrapv3.Bootstrap, change func(*hcmv3.HttpConnectionManager) error) error {
	filter := b.GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()[0]
	var m hcmv3.HttpConnectionManager
	if err := filter.GetTypedConfig().UnmarshalTo(&m); err != nil {
		return err
	}
	if err := change(&m); err != nil {
		return err
	}
	packed, err := anypb.New(&m)
	filter.GetTypedConfig().Value = packed.GetValue()
	return err
}

// without takes all of weft out of an Envoy.
func without(m *hcmv3.HttpConnectionManager) error {
	m.HttpFilters = m.GetHttpFilters()[len(m.GetHttpFilters())-1:]
	m.LocalReplyConfig = nil
	for _, host := range m.GetRouteConfig().GetVirtualHosts() {
		for _, r := range host.GetRoutes() {
			r.TypedPerFilterConfig = nil
		}
	}
	return nil
}

// buffered leaves only an ext_proc filter that gets request headers, response headers and the whole body, as it is found in
// tutorials.
func buffered(m *hcmv3.HttpConnectionManager) error {
	filters := m.GetHttpFilters()
	if err := without(m); err != nil {
		return err
	}
	for _, f := range filters {
		var extProc extprocv3.ExternalProcessor
		if f.GetTypedConfig().UnmarshalTo(&extProc) != nil {
			continue
		}
		extProc.ProcessingMode = &extprocv3.ProcessingMode{ResponseBodyMode: extprocv3.ProcessingMode_BUFFERED}
		extProc.AllowModeOverride = false
		extProc.ForwardRules, extProc.ResponseAttributes, extProc.MetadataOptions = nil, nil, nil
		extProc.GrpcService.InitialMetadata = nil
		packed, err := anypb.New(&extProc)
		if err != nil {
			return err
		}
		m.HttpFilters = append([]*hcmv3.HttpFilter{{Name: f.GetName(), ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed}}}, m.GetHttpFilters()...)
	}
	return nil
}

// seed puts a document for each user into MongoDB.
func seed(ctx context.Context, uri string) (err error) {
	client, err := mongo.Connect(mongooptions.Client().ApplyURI(uri))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()
	profiles := client.Database("user_profiles").Collection("profiles")
	if _, err := profiles.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "userId", Value: 1}}}); err != nil {
		return err
	}
	const batch = 10_000
	for from := 0; from < users; from += batch {
		docs := make([]any, batch)
		for i := range docs {
			id := from + i
			docs[i] = bson.D{
				{Key: "userId", Value: id},
				{Key: "tags", Value: bson.A{"vip", fmt.Sprintf("tag %d", id%7)}},
				{Key: "lastActivityScore", Value: float64(id%1000) / 10},
				{Key: "customSettings", Value: bson.D{{Key: "theme", Value: "dark"}, {Key: "language", Value: "en"}}},
			}
		}
		if _, err := profiles.InsertMany(ctx, docs); err != nil {
			return err
		}
	}
	return nil
}
