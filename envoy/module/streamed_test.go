package module_test

import (
	"strings"
	"testing"
	"time"

	"weft/enrich"
	"weft/envoy/module"
	"weft/internal/rulesfile"
)

// newStreaming returns a fixture whose rules say "large: stream".
func newStreaming(s enrich.Store) *fixture {
	list := rulesfile.Builtin().Rules
	for _, r := range list {
		r.StreamLarge = true
	}
	rules := enrich.NewRules(list)
	f := newFixture(s)
	f.Rules = func() (enrich.Rules, time.Duration) { return rules, time.Minute }
	return f
}

// forward sends the parts of a body, as an Envoy that holds each part until weft has checked it. It returns what the
// client gets.
func forward(t *testing.T, filter *module.Filter, s *stream, parts ...string) (got string) {
	t.Helper()
	for i, part := range parts {
		s.body, s.replaced = part, ""
		s.replacedBody = false
		next := filter.OnBody(i == len(parts)-1)
		for next == module.Wait {
			<-s.scheduled
			next = filter.OnBody(i == len(parts)-1)
		}
		if s.replacedBody {
			part = s.replaced
		}
		got += part
		if next == module.Continue {
			return got + strings.Join(parts[i+1:], "")
		}
		expect(t, next, module.Forward)
	}
	return got
}

func TestStreamed(t *testing.T) {
	const suffix = `,"extension":{},"errors":[]}`
	large := strings.Replace(core, `"u"`, `"`+strings.Repeat("u", 5<<20)+`"`, 1)
	for name, test := range map[string]struct {
		parts         []string
		want, outcome string
	}{
		"one part":       {[]string{core}, `{"core":` + core + suffix, "streamed"},
		"large parts":    {[]string{large[:9], large[9:]}, `{"core":` + large + suffix, "streamed"},
		"bytes":          {strings.Split(core, ""), `{"core":` + core + suffix, "streamed"},
		"a mark":         {[]string{"\xef", "\xbb\xbf" + core}, `{"core":` + core + suffix, "streamed"},
		"an empty part":  {[]string{core, ""}, `{"core":` + core + suffix, "streamed"},
		"no core":        {[]string{"<h1>"}, "<h1>", "streamed; reason=core-invalid"},
		"a short part":   {[]string{"[]", ""}, "[]", "streamed; reason=core-invalid"},
		"short parts":    {[]string{"[", "]"}, "[]", "streamed; reason=core-invalid"},
		"an early end":   {[]string{core[:20], ""}, `{"core":` + core[:20], "streamed; reason=core-invalid"},
		"an early error": {[]string{"<h1>", large, "<"}, `{"core":<h1>` + large + "<", "streamed; reason=core-invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			f := newStreaming(store{release})
			filter, s := f.begin(t)
			next, _ := filter.OnResponse(headers(":status", "200"), "via_upstream", false)
			expect(t, next, module.Wait)
			expect(t, filter.OnScheduled(), module.Wait) // a late event, of nothing that has ended
			close(release)
			<-s.scheduled
			expect(t, filter.OnScheduled(), module.Forward)
			if got := forward(t, filter, s, test.parts...); got != test.want {
				t.Errorf("got %.100q (%d bytes), want %.100q (%d bytes)", got, len(got), test.want, len(test.want))
			}
			filter.OnDestroy()
			r := f.expectReport(t, test.outcome)
			isWhole := r.CoreSize == len(strings.Join(test.parts, "")) && r.AnswerSize == len(test.want)
			if r.Outcome.Reason == "" && !isWhole {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestDestroyedWhileStreaming: Envoy destroys the stream after a part. The goroutine ends.
func TestDestroyedWhileStreaming(t *testing.T) {
	f := newStreaming(store{})
	filter, s := f.begin(t)
	next, _ := filter.OnResponse(headers(":status", "200"), "via_upstream", false)
	if next == module.Wait {
		<-s.scheduled
		next = filter.OnScheduled()
	}
	expect(t, next, module.Forward)
	s.body = core[:20]
	expect(t, filter.OnBody(false), module.Forward)
	filter.OnDestroy()
	<-s.scheduled
	f.expectReport(t, "passed; reason=stream-ended")
}
