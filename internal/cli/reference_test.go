package cli_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	urfave "github.com/urfave/cli/v3"

	"weft/internal/cli"
	"weft/internal/observe"
)

var update = flag.Bool("update", false, "write docs/reference.md")

// TestReference checks that docs/reference.md, which it generates from the flags and metrics, is up to date.
func TestReference(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Which flags and metrics does weft have?\n\n" +
		"Generated: `go test ./internal/cli -run TestReference -update`.\n")
	for _, c := range cli.New("").Commands {
		if len(c.Flags) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## weft %s\n\n%s.\n\n", c.Name, c.Usage)
		b.WriteString("| flag | environment | default | |\n|---|---|---|---|\n")
		for _, f := range c.Flags {
			d := f.(urfave.DocGenerationFlag)
			value := d.GetValue()
			if value != "" {
				value = "`" + value + "`"
			}
			// A word in backquotes is the placeholder of the value in --help; Markdown shows it as code.
			variables, usage := strings.Join(d.GetEnvVars(), "`, `"), strings.ReplaceAll(d.GetUsage(), "|", `\|`)
			fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s |\n", f.Names()[0], variables, value, usage)
		}
	}
	b.WriteString("\n## Metrics\n\n" +
		"`--admin` serves them at `/metrics`, in the format of Prometheus or OpenMetrics,\n" +
		"with those of Go (`go_…`) and of the process (`process_…`).\n\n| metric | labels | |\n|---|---|---|\n")
	for _, m := range metrics() {
		b.WriteString(m)
	}
	b.WriteString(renamed)
	const path = "../../docs/reference.md"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != b.String() {
		t.Errorf("docs/reference.md is out of date: go test ./internal/cli -run TestReference -update (%v)", err)
	}
}

// renamed are the names that dashboards, alerts and clients of an earlier weft may contain.
const renamed = `
## Renamed

| before | now |
|---|---|
| ` + "`x-weft: passed; reason=refused` | `reason=client-error`" + ` |
| ` + "`weft_answer_size_bytes` | `weft_response_size_bytes`" + ` |
| ` + "`weft_rules_reloads_total{result=\"refused\"}` | `result=\"rejected\"`" + ` |
| ` + "`weft_mongodb_command_duration_seconds{result=\"cancelled\"}` | `result=\"canceled\"`" + ` |
| ` + "`WeftRulesRefused` (alert) | `WeftRulesRejected`" + ` |
`

// recorder is a registry that records its collectors.
type recorder struct {
	prometheus.Registerer
	collectors []prometheus.Collector
}

func (r *recorder) MustRegister(cs ...prometheus.Collector) {
	r.collectors = append(r.collectors, cs...)
	r.Registerer.MustRegister(cs...)
}

func (r *recorder) Register(c prometheus.Collector) error {
	r.collectors = append(r.collectors, c)
	return r.Registerer.Register(c)
}

// metrics returns a table row for each of weft's own metrics.
func metrics() (rows []string) {
	r := &recorder{Registerer: prometheus.NewRegistry()}
	observe.NewMetrics(r, "")
	observe.WatchCertificate(r, nil)
	observe.Cache(r, nil)
	observe.CoreMemory(r, nil)
	observe.CoreGuard(r, nil)
	parts := regexp.MustCompile(`^Desc\{fqName: "(weft_[^"]*)", help: "(.*?)"(?:, unit: "[^"]*")?, ` +
		`constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)
	for _, c := range r.collectors {
		descs := make(chan *prometheus.Desc, 100)
		c.Describe(descs)
		close(descs)
		for desc := range descs {
			if m := parts.FindStringSubmatch(desc.String()); m != nil {
				labels := strings.ReplaceAll(m[3], ",", ", ")
				rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", m[1], labels, m[2]))
			}
		}
	}
	slices.Sort(rows)
	return rows
}
