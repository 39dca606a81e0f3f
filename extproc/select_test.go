package extproc_test

import (
	"strings"
	"testing"

	"weft/enrich"
	"weft/extproc"
	"weft/internal/rulesfile"
	"weft/test/storetest"
)

// TestSelection: weft rejects a request with unknown names before the legacy service gets it, and removes the parameter
// of others.
func TestSelection(t *testing.T) {
	p := newPeer(t, storetest.Mem{`{"userId":7,"tags":["vip"]}`})
	rule := *rulesfile.Builtin().Rules[0]
	rule.Select = enrich.Select{Param: "fields"}
	ruleset := extproc.NewRuleset([]*enrich.Rule{rule.Ready()}, "")
	p.server.Rules = func() *extproc.Ruleset { return ruleset }
	begin := func(query string) []string {
		return []string{":method", "GET", ":path", "/api/v1/users/7?a=1&" + query}
	}

	s := p.stream(t.Context(), t)
	reply := roundTrip(t, s, requestHeaders(begin("fields=tags")...)).GetImmediateResponse()
	if reply.GetStatus().GetCode() != 400 || !strings.Contains(string(reply.GetBody()), `"unknown":["tags"]`) {
		t.Errorf("%v %s", reply.GetStatus(), reply.GetBody())
	}
	expectEnd(t, s)
	if r := <-p.reports; r.Rule != "user" || r.Outcome.String() != "rejected; reason=unknown-member" || r.Status != 0 {
		t.Errorf("%+v", r)
	}

	s = p.stream(t.Context(), t)
	request := roundTrip(t, s, requestHeaders(begin("fields=core.email,extension.tags")...)).GetRequestHeaders()
	if got := setHeader(request.GetResponse(), ":path"); got != "/api/v1/users/7?a=1" {
		t.Errorf(":path %q", got)
	}
	roundTrip(t, s, responseHeaders("via_upstream", false, ":status", "200", "content-length", "55"))
	answer := roundTrip(t, s, responseBody(core7, true)).GetResponseBody().GetResponse()
	const want = `{"core":{"email":"e"},"extension":{"tags":["vip"]},"errors":[]}`
	if got := string(answer.GetBodyMutation().GetBody()); got != want || setHeader(answer, "content-length") != "63" {
		t.Errorf("%v %s, want %s", answer.GetHeaderMutation(), got, want)
	}
	expectEnd(t, s)
}
