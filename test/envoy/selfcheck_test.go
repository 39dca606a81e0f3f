package envoy_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"weft/extproc"
	"weft/test/harness"
)

// TestSelfCheck: if Envoy's configuration has an error, the legacy response passes, and weft reports once what to
// change.
func TestSelfCheck(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*extprocv3.ExternalProcessor)
		want   string // part of what weft says
		passes bool
	}{
		{"as it should be", func(*extprocv3.ExternalProcessor) {}, "", false},
		{
			"bodies unasked",
			func(f *extprocv3.ExternalProcessor) {
				f.ProcessingMode = &extprocv3.ProcessingMode{ResponseBodyMode: extprocv3.ProcessingMode_BUFFERED}
			},
			"set processing_mode.response_body_mode: NONE in the ext_proc filter, not BUFFERED", true,
		},
		{
			"no attributes",
			func(f *extprocv3.ExternalProcessor) { f.ResponseAttributes = nil },
			"add response_attributes: [response.code_details] to the ext_proc filter", true,
		},
		{
			"no mode override",
			func(f *extprocv3.ExternalProcessor) { f.AllowModeOverride = false },
			"set allow_mode_override: true, and no allowed_override_modes, in the ext_proc filter", true,
		},
		{
			"no modes to override to",
			func(f *extprocv3.ExternalProcessor) {
				f.AllowedOverrideModes = []*extprocv3.ProcessingMode{{ResponseBodyMode: extprocv3.ProcessingMode_STREAMED}}
			},
			"set allow_mode_override: true, and no allowed_override_modes, in the ext_proc filter", true,
		},
		{
			"no requests",
			func(f *extprocv3.ExternalProcessor) {
				f.ProcessingMode = &extprocv3.ProcessingMode{RequestHeaderMode: extprocv3.ProcessingMode_SKIP}
			},
			"set processing_mode.request_header_mode: SEND", true,
		},
		{
			"observability mode",
			func(f *extprocv3.ExternalProcessor) { f.ObservabilityMode = true },
			"remove observability_mode from the ext_proc filter", true,
		},
		{
			"a header too few",
			func(f *extprocv3.ExternalProcessor) { hide(f, ":path") },
			`add {exact: ":path"} to forward_rules.allowed_headers.patterns`, true,
		},
		{
			"no status",
			func(f *extprocv3.ExternalProcessor) { hide(f, ":status") },
			`add {exact: ":status"} to forward_rules.allowed_headers.patterns`, true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startSystem(t, systemOptions{change: func(b *bootstrapv3.Bootstrap) { changeExtProc(t, b, test.change) }})
			s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
			for range 20 {
				got := s.get(t, "/api/v1/users/7")
				if passed := got.Body == coreUser7; got.Status != http.StatusOK || passed != test.passes {
					t.Fatalf("%d %s", got.Status, got.Body)
				}
			}
			s.checkIdle(t)
			s.mu.Lock()
			defer s.mu.Unlock()
			isReported := len(s.misconfigured) == 1 && strings.Contains(s.misconfigured[0], test.want)
			if test.want == "" && len(s.misconfigured) > 0 || test.want != "" && !isReported {
				t.Errorf("weft says %q, want %q once", s.misconfigured, test.want)
			}
		})
	}
}

// TestOtherRules: weft finds out with a health check that Envoy's configuration was made from other rules.
func TestOtherRules(t *testing.T) {
	s := startSystem(t, systemOptions{change: func(b *bootstrapv3.Bootstrap) {
		for _, c := range b.GetStaticResources().GetClusters() {
			for _, check := range c.GetHealthChecks() {
				check.GetGrpcHealthCheck().GetInitialMetadata()[0].GetHeader().Value = "0123456789ab"
			}
		}
	}})
	const want = "Envoy configuration differs: it was made from other rules (0123456789ab, weft has "
	harness.Eventually(t, "weft reports other rules", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.misconfigured) == 1 && strings.HasPrefix(s.misconfigured[0], want)
	})
}

// TestNoCredentials: an Envoy whose configuration was made from rules that keep no cores does not say which requests
// have credentials, nor what a response varies by. Then none are kept.
func TestNoCredentials(t *testing.T) {
	s := startSystem(t, systemOptions{
		rules: parseRules(t, coresRules),
		change: func(b *bootstrapv3.Bootstrap) {
			changeExtProc(t, b, func(f *extprocv3.ExternalProcessor) {
				f.RequestAttributes = nil
				headers := &matcherv3.ListStringMatcher{}
				prefixes, names := extproc.Headers()
				for _, p := range prefixes {
					headers.Patterns = append(headers.Patterns,
						&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: p}})
				}
				for _, name := range names {
					headers.Patterns = append(headers.Patterns,
						&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: name}})
				}
				f.ForwardRules = &extprocv3.HeaderForwardingRules{AllowedHeaders: headers}
			})
		},
	})
	for _, user := range []string{"a", "b"} {
		core := `{"userId":7,"caller":"` + user + `"}`
		s.legacy.answer("/cached/7", raw("HTTP/1.1 200 OK\r\ncache-control: public, max-age=60\r\nvary: cookie\r\n"+
			"content-length: 25\r\n\r\n"+core))
		composed := "200\nx-weft: composed\n\n" + `{"core":` + core + `,"extension":{"tags":[]},"errors":[]}`
		checkAnswer(t, composed, "", s.get(t, "/cached/7", "cookie", "user="+user))
	}
	s.checkIdle(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	const want = "Envoy does not say which requests have credentials: regenerate its configuration with weft envoy"
	if len(s.misconfigured) != 1 || !strings.HasPrefix(s.misconfigured[0], want) {
		t.Errorf("weft says %q, want %q once", s.misconfigured, want)
	}
}

// hide removes a pseudo-header from those that Envoy forwards.
func hide(f *extprocv3.ExternalProcessor, name string) {
	headers := f.GetForwardRules().GetAllowedHeaders()
	isPseudo := func(m *matcherv3.StringMatcher) bool { return m.GetPrefix() == ":" }
	headers.Patterns = slices.DeleteFunc(headers.GetPatterns(), isPseudo)
	for _, other := range []string{":method", ":authority", ":path", ":status"} {
		if other != name {
			exact := &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: other}}
			headers.Patterns = append(headers.Patterns, exact)
		}
	}
}

// changeExtProc changes weft's filter in a bootstrap.
func changeExtProc(t *testing.T, b *bootstrapv3.Bootstrap, change func(*extprocv3.ExternalProcessor)) {
	t.Helper()
	filter := b.GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()[0]
	var manager hcmv3.HttpConnectionManager
	if err := filter.GetTypedConfig().UnmarshalTo(&manager); err != nil {
		t.Fatal(err)
	}
	for _, f := range manager.GetHttpFilters() {
		if f.GetName() != "envoy.filters.http.ext_proc" {
			continue
		}
		var extProc extprocv3.ExternalProcessor
		if err := f.GetTypedConfig().UnmarshalTo(&extProc); err != nil {
			t.Fatal(err)
		}
		change(&extProc)
		f.ConfigType = &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(t, &extProc)}
	}
	filter.GetTypedConfig().Value = packed(t, &manager).GetValue()
}

func packed(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
