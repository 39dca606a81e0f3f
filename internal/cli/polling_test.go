package cli

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"weft/internal/observe"
	"weft/internal/rulesfile"
)

// TestRulesArePolled: if the system has no inotify instance left, the log and a metric say so. The rules file counts as
// loaded: weft continues to read it.
func TestRulesArePolled(t *testing.T) {
	name := t.TempDir() + "/rules.yaml"
	text := rulesfile.Builtin().Text
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1)
	registry := prometheus.NewRegistry()
	s := &server{
		rulesName: name, metrics: observe.NewMetrics(registry, ""),
		logger: slog.New(slog.NewTextHandler(writerFunc(func(line []byte) {
			_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // before the file is read
			lines <- string(line)
		}), nil)),
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ctx, text) })
	line := <-lines
	cancel()
	watching.Wait()
	if !strings.Contains(line, "level=WARN") || !strings.Contains(line, "polling files") {
		t.Errorf("the log says %s", line)
	}
	values := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetType() == dto.MetricType_GAUGE && len(f.GetMetric()) == 1 {
			values[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	if values["weft_files_polled"] != 1 || values["weft_rules_last_reload_successful"] != 1 {
		t.Errorf("weft_files_polled %v, weft_rules_last_reload_successful %v; want 1, 1",
			values["weft_files_polled"], values["weft_rules_last_reload_successful"])
	}
}
