package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"weft/enrich"
	"weft/envoy/module"
)

// Module is a running weft in Envoy's process.
type Module struct {
	*module.Config
	close  func()
	logger *slog.Logger
}

// Close ends the reads and the admin listener. Close must be called after the last stream has been destroyed.
func (m *Module) Close() { m.close() }

// testedEnvoys is the minor version of Envoy with which the library is tested. Envoy supports the ABI of a library in
// its own version and the next one, and only warns about other versions.
const testedEnvoys = "1.40"

// CheckEnvoy logs a warning if the library was not tested with a version of Envoy. printed is the output of
// envoy --version, such as "envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL".
func (m *Module) CheckEnvoy(printed string) {
	version := "unknown"
	if parts := strings.Split(printed, "/"); len(parts) > 4 {
		version = parts[len(parts)-4]
	}
	if !strings.HasPrefix(version, testedEnvoys+".") {
		m.logger.Warn("weft's library was not tested with this version of Envoy, whose ABI may differ; "+
			"use a tested version, or weft as an external processor", "envoy", version, "tested", testedEnvoys)
	}
}

// StartModule starts weft for a filter in Envoy. config is the filter's configuration: a JSON object whose members are
// flags of "weft serve", such as {"rules": "rules.yaml", "admin": "127.0.0.1:9902"}. The flags can also be set by their
// environment variables.
func StartModule(config, version string, stderr io.Writer) (m *Module, err error) {
	err = runModule(config, version, stderr, func(s *server, flush func()) error {
		ctx, cancel := context.WithCancel(context.Background())
		file, stop, err := s.startJoin(ctx)
		if err != nil {
			cancel()
			s.closeStores()
			flush()
			return err
		}
		m = &Module{
			Config: &module.Config{
				Rules: func() (enrich.Rules, time.Duration) {
					r := s.rules.Load()
					return r.Rules(), r.Budget
				},
				Store:        s.reads,
				Cores:        s.newCores(),
				ServerTiming: s.serverTiming,
				Report:       s.report,
				Open:         s.metrics.AddOpen,
				Panicked:     s.panicked,
			},
			logger: s.logger,
			close: func() {
				cancel()
				stop()
				s.closeStores()
				s.logger.Info("stopped")
				flush()
			},
		}
		s.logger.Info("serving in Envoy's process", "version", s.version, "rules", len(file.Rules), "hash", file.Hash)
		return nil
	})
	return m, err
}

// CheckModule validates a configuration and its rules file. It does not connect to other servers.
func CheckModule(config, version string) error {
	return runModule(config, version, io.Discard, func(s *server, flush func()) error {
		defer flush()
		_, err := loadRules(s.rulesName)
		return err
	})
}

// runModule parses the configuration of a filter, and then calls run.
func runModule(config, version string, stderr io.Writer, run func(*server, func()) error) error {
	s := &server{version: version, isModule: true}
	command := &cli.Command{
		Name:      "filter_config",
		Flags:     s.moduleFlags(),
		ErrWriter: stderr,
		HideHelp:  true,
		Action: func(_ context.Context, cmd *cli.Command) error {
			flush, err := s.configure(cmd)
			if err != nil {
				flush()
				return err
			}
			return run(s, flush)
		},
		OnUsageError:   func(_ context.Context, _ *cli.Command, err error, _ bool) error { return err },
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
	}
	args, err := moduleArgs(config)
	if err == nil {
		err = command.Run(context.Background(), args)
	}
	if err != nil {
		return fmt.Errorf("filter_config: %w", err)
	}
	return nil
}

// moduleFlags returns the flags of "weft serve" that have an effect in Envoy's process.
func (s *server) moduleFlags() []cli.Flag {
	return slices.Concat([]cli.Flag{rulesFlag(&s.rulesName)}, mongodbFlags("mongodb://localhost:27017", ""),
		s.coreFlags(), s.joinFlags(), s.observeFlags())
}

// moduleArgs converts the configuration of a filter to a command line.
func moduleArgs(config string) ([]string, error) {
	var members map[string]any
	if strings.TrimSpace(config) != "" {
		dec := json.NewDecoder(strings.NewReader(config))
		dec.UseNumber()
		if err := dec.Decode(&members); err != nil {
			return nil, fmt.Errorf("want a JSON object of flags, such as {\"rules\": \"rules.yaml\"}: %w", err)
		}
	}
	if err := checkModuleFlags(members); err != nil {
		return nil, err
	}
	args := []string{"filter_config"}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		args = append(args, fmt.Sprintf("--%s=%v", name, members[name]))
	}
	return args, nil
}

// checkModuleFlags checks the names and types of the members of a configuration, and rejects passwords.
func checkModuleFlags(members map[string]any) error {
	var known []string
	for _, f := range new(server).moduleFlags() {
		known = append(known, f.Names()...)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(known, name) {
			return usageErrorf("unknown member %q; use one of %s", name, strings.Join(known, ", "))
		}
		switch members[name].(type) {
		case string, bool, float64, json.Number:
		default:
			return usageErrorf("member %q: want a string, a number, true or false", name)
		}
	}
	for _, s := range []source{mongodbSource, redisSource} {
		if value, _ := members[string(s)].(string); hasSecret(value) {
			return usageErrorf("member %q has a password, which Envoy's admin interface shows: "+
				"use %q or %s, and change the password", s, s+"-file", s.env())
		}
	}
	return nil
}
