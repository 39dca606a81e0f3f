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

// TestReference compares docs/reference.md with the flags and the metrics, from which it is made.
func TestReference(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Which flags and metrics does weft have?\n\nThis page is generated from the code: `go test ./internal/cli -run TestReference -update`.\n")
	for _, c := range cli.New("").Commands {
		if len(c.Flags) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## weft %s\n\n%s.\n\n| flag | environment | default | |\n|---|---|---|---|\n", c.Name, c.Usage)
		for _, f := range c.Flags {
			d := f.(urfave.DocGenerationFlag)
			value := d.GetValue()
			if value != "" {
				value = "`" + value + "`"
			}
			// The word between backquotes names the value: it is an operand's name in --help.
			fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s |\n", f.Names()[0], strings.Join(d.GetEnvVars(), "`, `"), value, strings.ReplaceAll(d.GetUsage(), "|", `\|`))
		}
	}
	b.WriteString("\n## Metrics\n\n" +
		"`--admin` serves them at `/metrics`, in the format of Prometheus or OpenMetrics,\n" +
		"with those of Go (`go_…`) and of the process (`process_…`).\n\n| metric | labels | |\n|---|---|---|\n")
	for _, m := range metrics() {
		b.WriteString(m)
	}
	const path = "../../docs/reference.md"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != b.String() {
		t.Errorf("docs/reference.md is not what the code says: go test ./internal/cli -run TestReference -update (%v)", err)
	}
}

// described keeps what is registered.
type described struct {
	prometheus.Registerer
	collectors []prometheus.Collector
}

func (d *described) MustRegister(cs ...prometheus.Collector) {
	d.collectors = append(d.collectors, cs...)
	d.Registerer.MustRegister(cs...)
}

func (d *described) Register(c prometheus.Collector) error {
	d.collectors = append(d.collectors, c)
	return d.Registerer.Register(c)
}

// metrics returns a row of a table for each metric of weft's own.
func metrics() (rows []string) {
	d := &described{Registerer: prometheus.NewRegistry()}
	observe.NewMetrics(d, "")
	observe.WatchCertificate(d, nil)
	parts := regexp.MustCompile(`^Desc\{fqName: "(weft_[^"]*)", help: "(.*?)"(?:, unit: "[^"]*")?, constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)
	for _, c := range d.collectors {
		descs := make(chan *prometheus.Desc, 100)
		c.Describe(descs)
		close(descs)
		for desc := range descs {
			if m := parts.FindStringSubmatch(desc.String()); m != nil {
				rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", m[1], strings.ReplaceAll(m[3], ",", ", "), m[2]))
			}
		}
	}
	slices.Sort(rows)
	return rows
}
