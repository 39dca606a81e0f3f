package envoy_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"weft/envoy"
	"weft/internal/rulesfile"
)

// TestTransparency sends each request in testdata/transparency three times: to the legacy service, through an Envoy
// without weft, and through the same Envoy with weft. It compares what the legacy service and the client receive. Each
// difference needs a named exception in exceptions.yaml. "make transparency" prints the table.
func TestTransparency(t *testing.T) {
	legacy := startRecorder(t)
	var bootstrap *bootstrapv3.Bootstrap
	s := startSystem(t, systemOptions{
		rules:  append(rulesfile.Builtin().Rules, parseRules(t, corpusRules)...),
		config: func(c *envoy.Config) { c.Legacy, c.LegacyHTTP2 = legacy.addr, true },
		change: func(b *bootstrapv3.Bootstrap) { bootstrap = b },
	})
	withWeft := strings.TrimPrefix(s.URL, "http://")
	text, err := envoy.YAML(withoutWeft(t, bootstrap))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StartEnvoyWith(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	withoutWeft := strings.TrimPrefix(s.URL, "http://")

	exceptions := readExceptions(t)
	table := [][]string{{"case", "protocol", "direct and Envoy", "Envoy and weft"}}
	for _, c := range readCorpus(t) {
		t.Run(c.name, func(t *testing.T) {
			direct := c.run(t, legacy, legacy.addr)
			plain := c.run(t, legacy, withoutWeft)
			weft := c.run(t, legacy, withWeft)
			added := "weft"
			if weft["response header x-weft"] != "" {
				added = "rule"
			}
			row := []string{c.name, c.protocol, "refused: " + c.refused, exceptions.compare(t, c.name, added, plain, weft)}
			if c.refused == "" {
				row[2] = exceptions.compare(t, c.name, "envoy", direct, plain)
			} else if plain["response status"] != c.refused || plain["request method"] != "" {
				t.Errorf("not rejected with %s: %v", c.refused, plain)
			}
			table = append(table, row)
		})
	}
	for _, e := range exceptions {
		if !e.used {
			t.Errorf("the exception %s is not needed; remove it", e.Name)
		}
	}
	if testing.Verbose() {
		printTable(table, exceptions)
	}
}

// corpusRules are rules of other kinds than the built-in ones.
const corpusRules = `
version: 1
rules:
  - &order
    name: order
    match: {path: "/orders/{id:int64}", methods: [GET, POST]}
    shape: merge
    core: {fields: {id: int64}}
    extensions: &extensions
      shipment:
        database: shop
        collection: shipments
        where: {orderId: {param: id}}
        fields: {carrier: {type: string, default: none}}
  - <<: *order
    name: strict
    match: {path: "/strict/{id:int64}"}
    shape: composite
    degrade: never
  - <<: *order
    name: host
    match: {path: "/hosts/{id:int64}", host: shop.example}
    shape: composite
    degrade: never
  - <<: *order
    name: query
    match: {path: /query, query: {id: {type: int64}}}
    shape: composite
    degrade: never
`

// withoutWeft returns a bootstrap without the parts for weft and for rules.
func withoutWeft(t *testing.T, b *bootstrapv3.Bootstrap) *bootstrapv3.Bootstrap {
	t.Helper()
	b = proto.CloneOf(b)
	b.StaticResources.Clusters = b.GetStaticResources().GetClusters()[:1]
	filter := b.GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()[0]
	manager := &hcmv3.HttpConnectionManager{}
	if err := filter.GetTypedConfig().UnmarshalTo(manager); err != nil {
		t.Fatal(err)
	}
	manager.HttpFilters = manager.GetHttpFilters()[len(manager.GetHttpFilters())-1:]
	manager.LocalReplyConfig = nil
	for _, v := range manager.GetRouteConfig().GetVirtualHosts() {
		v.RequestHeadersToRemove, v.ResponseHeadersToRemove = nil, nil
		v.Routes = slices.DeleteFunc(v.GetRoutes(), func(r *routev3.Route) bool { return r.GetName() != "other" })
	}
	config, err := anypb.New(manager)
	if err != nil {
		t.Fatal(err)
	}
	filter.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: config}
	return b
}

// record contains the observed values of an exchange: "request …" at the legacy service, "response …" at the client. A
// missing value is the empty string.
type record map[string]string

// exception is an allowed difference.
type exception struct {
	Name   string
	By     string   // cause: envoy, weft (on all paths), or rule (weft on the paths of rules)
	Key    string   // in the records
	From   string   // regular expression for the value before; empty for a missing one
	To     string   // regular expression for the value after
	Cases  []string // names of the cases; empty for all
	Reason string

	used bool
}

type exceptions []*exception

func readExceptions(t *testing.T) (list exceptions) {
	t.Helper()
	text, err := os.ReadFile("testdata/transparency/exceptions.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(text, &list, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Name == "" || e.Reason == "" || !slices.Contains([]string{"envoy", "weft", "rule"}, e.By) {
			t.Fatalf("the exception %+v needs a name, a reason, and by: envoy, weft or rule", e)
		}
	}
	return list
}

// compare fails the test for each difference without an exception. It returns the names of the exceptions.
func (list exceptions) compare(t *testing.T, name, by string, before, after record) string {
	t.Helper()
	var names []string
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if before[key] == after[key] {
			continue
		}
		i := slices.IndexFunc(list, func(e *exception) bool {
			return (e.By == by || e.By == "weft" && by == "rule") && e.Key == key &&
				matchesWhole(e.From, before[key]) && matchesWhole(e.To, after[key]) &&
				(e.Cases == nil || slices.Contains(e.Cases, name))
		})
		if i < 0 {
			t.Errorf("%s by %s\n  before %q\n  after  %q", key, by, before[key], after[key])
			names = append(names, "DIFFERENT: "+key)
			continue
		}
		list[i].used = true
		if !slices.Contains(names, list[i].Name) {
			names = append(names, list[i].Name)
		}
	}
	return cmp.Or(strings.Join(names, ", "), "equal")
}

func matchesWhole(pattern, s string) bool {
	return regexp.MustCompile("^(?s:" + pattern + ")$").MatchString(s)
}

func printTable(table [][]string, list exceptions) {
	widths := make([]int, len(table[0]))
	for _, row := range table {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range table {
		for i, cell := range row {
			fmt.Printf("%-*s  ", widths[i], cell)
		}
		fmt.Println()
	}
	fmt.Println()
	seen := map[string]bool{}
	for _, e := range list {
		if !seen[e.Name] {
			fmt.Printf("%s (%s): %s\n", e.Name, e.By, e.Reason)
		}
		seen[e.Name] = true
	}
}

// readCorpus reads all cases.
func readCorpus(t *testing.T) (corpus []*corpusCase) {
	t.Helper()
	files, err := filepath.Glob("testdata/transparency/*.txtar")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		corpus = append(corpus, readCorpusCase(t, file))
	}
	return corpus
}
