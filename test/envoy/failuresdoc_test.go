package envoy_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/failures.md")

// TestFailuresDoc compares docs/failures.md with the cases, from which it is made.
func TestFailuresDoc(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	var doc strings.Builder
	doc.WriteString(failuresHead)
	group := ""
	for _, file := range files {
		c, err := readCase(file)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if g, _, _ := strings.Cut(name, "-"); g != group {
			group = g
			fmt.Fprintf(&doc, "\n## %s\n\n| what happens | v1 | v3 | x-weft | case |\n|---|---|---|---|---|\n", groups[group])
			if groups[group] == "" {
				t.Errorf("%s: no heading for the prefix %q", file, group)
			}
		}
		fmt.Fprintf(&doc, "| %s | %s | %s | %s | [%s](../test/envoy/%s) |\n", c.shows,
			summary(c.answers["v1"]), summary(c.answers["v3"]), marks(c), name, file)
	}
	const path = "../../docs/failures.md"
	if *update {
		if err := os.WriteFile(path, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != doc.String() {
		t.Errorf("docs/failures.md is not what the cases say: go test ./test/envoy -run TestFailuresDoc -update (%v)", err)
	}
}

const failuresHead = `# What can fail, and what comes of it

Made from the [cases](../test/envoy/testdata/cases) by ` + "`go test ./test/envoy -run TestFailuresDoc -update`" + `; each was replayed through a real Envoy and a
real MongoDB, over HTTP/1.1 and HTTP/2. *v1* is ` + "`/api/v1/users/{id}`, *v3* `/api/v3/composite-profile/{id}`. `x-weft`" + ` is what the operator sees: in the
response, in Envoy's access log and, as the reason, in weft's log at debug. "As it is" is the legacy service's own answer.

What no case file can show has a test of its own:

| what happens | what the client gets | test |
|---|---|---|
| MongoDB's hosts cannot be looked up (` + "`mongodb+srv`" + `), at start or for a while | ` + "`extension: null`" + `; whole when they can be, without a restart | [TestStartsWithoutDNS](../test/operations/rotate_test.go), [TestStartWithoutDNS](../internal/cli/reconnect_test.go) |
| MongoDB's user or certificates are replaced, under load | the composite, always | [TestCredentialsRotate](../test/operations/rotate_test.go), [TestCertificatesRotate](../enrich/mongostore/rotate_test.go) |
| MongoDB is down, comes up, goes away under warm connections | ` + "`extension: null`" + ` within the budget; whole again without a restart | [TestMongoDBDown](../test/envoy/mongodbdown_test.go) |
| weft is down | v1: the legacy answer as it is; v3: the shape, with ` + "`extension: null`" + ` | [TestFallback](../test/envoy/fallback_test.go) |
| MongoDB is frozen, with 200 requests at once | the same | [TestMongoDBFrozen](../test/envoy/mongodbdown_test.go) |
| weft ends abruptly and comes back, again and again, under load | a composite, ` + "`extension: null`" + `, or (v1) the legacy answer; never less | [TestWeftRestartsUnderLoad](../test/envoy/weftrestart_test.go) |
| two instances of weft are restarted in turn, under load | the composite, always | [TestRollingRestart](../test/operations/drain_test.go) |
| connections to weft grow old, or its certificates are replaced, under load | the composite, always | [TestConnectionAge](../test/operations/drain_test.go), [TestCertificatesRotate](../test/operations/tls_test.go) |
| Envoy shows weft a certificate that it does not take, or weft Envoy | as it is | [TestPeerIsRejected](../test/operations/tls_test.go) |
| more reads wait for MongoDB than may | ` + "`extension: null`" + ` at once, reason ` + "`overloaded`" + `; whole again without a restart | [TestOverload](../test/operations/overload_test.go) |
| a message to weft is larger than it takes | as it is | [TestMaxMessageBytes](../test/operations/limits_test.go) |
| weft ends while it holds a body | the same | [TestWeftEndsWhileHoldingBody](../test/envoy/weftcrash_test.go) |
| the client hangs up, at any point | nothing is left behind | [TestDisconnectLeaksNothing](../test/envoy/disconnect_test.go) |
| answers without a body, HEAD, conditions, pipelined | each answer where it belongs | [TestPipelinedResponses](../test/envoy/framing_test.go) |
| the legacy service fails and a rule says who may see the extension alone | the extension, or the failure as it is | [TestDegradePolicy](../test/envoy/degradepolicy_test.go) |
| mongod, the legacy service and weft, each a real process, are killed, frozen and stopped, again and again, under clients | never anything else than the answers of this page | ` + "`make chaos`" + `, [TestChaos](../examples/chaos/chaos_test.go) |
| Envoy cannot reach the legacy service: no healthy host, overflow, connect timeout, nothing listens | core null | [TestLocalReplyOfUpstreamFailure](../test/envoy/localreply_test.go) |
| Envoy refuses on its own account: RBAC, no Host | as it is | [TestLocalReplyBeforeWeft](../test/envoy/localreply_test.go) |
| a document of 16 MB | the composite | [TestLargestDocument](../test/envoy/largeanswers_test.go) |
| Envoy's configuration keeps weft from its work | as it is, and weft says once what to change | [TestSelfCheck](../test/envoy/selfcheck_test.go) |
| messages that are malformed, out of order, or never come; 10,000 idle streams | as it is | [TestMalformedMessages](../extproc/hostile_test.go), [FuzzProcess, TestIdleStreams](../extproc/process_test.go) |
| a core over the limit, where the rule says ` + "`large: stream`" + ` | the composite, streamed | [TestStreamedCores](../test/envoy/streamedcores_test.go) |
`

var groups = map[string]string{
	"both":      "Both at once",
	"composite": "Nothing fails",
	"core":      "The legacy service",
	"extension": "MongoDB's documents",
	"headers":   "Response headers",
	"id":        "Ids",
	"request":   "Requests",
}

// summary returns in a few words what the client gets.
func summary(answer string) string {
	head, body, _ := strings.Cut(answer, "\n\n")
	status, _, _ := strings.Cut(head, "\n")
	status = strings.TrimSpace(status)
	switch {
	case strings.Contains(answer, "x-weft: passed"), strings.Contains(answer, "x-weft: -"):
		return status + " as it is"
	case strings.HasPrefix(body, `{"detail"`):
		return status + " detail"
	case strings.HasPrefix(body, `{"core":null`):
		return status + " core null"
	case strings.Contains(body, `,"extension":null,`):
		return status + " extension null"
	case strings.HasPrefix(body, `{"core":`):
		return status + " composite"
	default:
		return status + " as it is"
	}
}

// marks returns the values of x-weft.
func marks(c testCase) string {
	var marks []string
	for _, route := range routes {
		for _, h := range parseHeaders(c.answers[route.name]) {
			if h[0] == "x-weft" && h[1] != "-" && (len(marks) == 0 || marks[0] != h[1]) {
				marks = append(marks, h[1])
			}
		}
	}
	return strings.Join(marks, " / ")
}
