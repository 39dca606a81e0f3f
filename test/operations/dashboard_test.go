package operations_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weft/test/harness"
)

const dashboardFile = "../../docs/dashboards/weft.json"

// board has the parts of a Grafana dashboard that the tests use.
type board struct {
	Panels     []panel
	Templating struct {
		List []struct {
			Name, Type string
			Query      json.RawMessage
		}
	}
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ UID string }
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct {
		Expr, LegendFormat string
		Datasource         struct{ UID string }
	}
}

func readBoard(t *testing.T) *board {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	b := &board{}
	if err := json.Unmarshal(text, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDashboardFile: Grafana's own types have every field, panels do not overlap, and each has a unit and advice.
func TestDashboardFile(t *testing.T) {
	library, err := harness.Tool("grafana_foundation_sdk")
	if err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), "python3", "../../docs/dashboards/grafana_types.py", dashboardFile)
	check.Env = append(os.Environ(), "PYTHONPATH="+filepath.Dir(library), "PYTHONDONTWRITEBYTECODE=1")
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	ids, cells := map[int]string{}, map[[2]int]string{}
	for _, p := range readBoard(t).Panels {
		if other, ok := ids[p.ID]; ok {
			t.Errorf("%q and %q have the same id", p.Title, other)
		}
		ids[p.ID] = p.Title
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := cells[[2]int{x, y}]; ok || x >= 24 {
					t.Fatalf("%q overlaps %q, or is outside the grid", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if !strings.Contains(p.Description, "\n\nDo: ") || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 ||
			p.Datasource.UID != "${datasource}" {
			t.Errorf("%q has no advice, no unit, no query or a fixed data source", p.Title)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" || target.LegendFormat == "" {
				t.Errorf("%q: %s: no legend, or a fixed data source", p.Title, target.Expr)
			}
		}
	}
}

// prometheusServer is a running Prometheus.
type prometheusServer struct{ *harness.Prometheus }

// window is the range of queries in tests. It contains several scrapes.
const window = "3s"

// startPrometheus starts a Prometheus that scrapes jobs, each a host:port/path.
func startPrometheus(t *testing.T, jobs map[string]string) *prometheusServer {
	t.Helper()
	config := "global: {scrape_interval: 400ms, scrape_timeout: 400ms}\nscrape_configs:\n"
	for job, target := range jobs {
		address, path, _ := strings.Cut(target, "/")
		const scrape = "- {job_name: %s, metrics_path: /%s, static_configs: [{targets: [%q]}]}\n"
		config += fmt.Sprintf(scrape, job, path, address)
	}
	server, err := harness.StartPrometheus(t.Context(), t.TempDir(), []byte(config))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	return &prometheusServer{server}
}

// query sends a query and decodes the data of the response.
func (p *prometheusServer) query(t *testing.T, path string, query url.Values, into any) {
	t.Helper()
	response, err := harness.Get(t.Context(), p.URL()+path+"?"+query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	var result struct {
		Error string
		Data  json.RawMessage
	}
	if err := json.Unmarshal([]byte(response.Body), &result); err != nil {
		t.Fatal(err)
	}
	if result.Error != "" {
		t.Fatalf("%s: %s", query, result.Error)
	}
	if err := json.Unmarshal(result.Data, into); err != nil {
		t.Fatalf("%s: %v: %s", query, err, result.Data)
	}
}

// values evaluates an expression and returns the values that are not NaN.
func (p *prometheusServer) values(t *testing.T, expr string) (values []float64) {
	t.Helper()
	var data struct {
		Result []struct{ Value [2]any }
	}
	p.query(t, "/api/v1/query", url.Values{"query": {expr}}, &data)
	for _, series := range data.Result {
		text, _ := series.Value[1].(string)
		if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values
}

// withVariables replaces the dashboard's variables, as Grafana does.
func withVariables(expr string) string {
	return strings.NewReplacer(
		"$job", "weft.*", "$instance", ".*", "$rule", ".*", "$legacy", "legacy", "$__rate_interval", window,
	).Replace(expr)
}

// variables returns the values that Grafana offers for the dashboard's variables.
func (p *prometheusServer) variables(t *testing.T, b *board) map[string][]string {
	t.Helper()
	offered := map[string][]string{}
	for _, v := range b.Templating.List {
		if v.Type != "query" {
			continue
		}
		var query struct{ Query string }
		if err := json.Unmarshal(v.Query, &query); err != nil {
			t.Fatal(err)
		}
		parts := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(query.Query)
		if parts == nil {
			t.Fatalf("variable %s: %s", v.Name, query.Query)
		}
		var values []string
		p.query(t, "/api/v1/label/"+parts[2]+"/values", url.Values{"match[]": {withVariables(parts[1])}}, &values)
		offered[v.Name] = values
	}
	return offered
}

// target is a query of a panel and its results so far.
type target struct {
	name, expr string
	hasData    bool
	maximum    float64
}

func (b *board) targets() (targets []*target) {
	for _, p := range b.Panels {
		for _, q := range p.Targets {
			targets = append(targets, &target{name: p.Title + ": " + q.LegendFormat, expr: withVariables(q.Expr)})
		}
	}
	return targets
}

// red returns the titles of the stat panels (the first row) that are red.
func (p *prometheusServer) red(t *testing.T, b *board) (titles []string) {
	t.Helper()
	for _, panel := range b.Panels {
		if panel.Type != "stat" {
			continue
		}
		worst := 0.0
		for _, q := range panel.Targets {
			worst = max(worst, slices.Max(append(p.values(t, withVariables(q.Expr)), 0)))
		}
		if worst > .05 {
			titles = append(titles, panel.Title)
		}
	}
	return titles
}
