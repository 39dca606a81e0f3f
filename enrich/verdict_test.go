package enrich

import "testing"

// TestVerdict has a case for each row of the contract's table and each origin of a response.
func TestVerdict(t *testing.T) {
	const known, unknown = 100, -1
	legacy := func(status int) Response {
		return Response{Method: "GET", Origin: OriginLegacy, Status: status, ContentLength: unknown}
	}
	with := func(r Response, change func(*Response)) Response { change(&r); return r }
	unreachable := func(status int) Response {
		return Response{Method: "GET", Origin: OriginUnreachable, Status: status}
	}
	encoded := func(encoding string, length int64) Response {
		return Response{Method: "GET", Origin: OriginLegacy, Status: 200, ContentLength: length, ContentEncoding: encoding}
	}
	v1, v3 := UserProfile()[0], UserProfile()[1]
	never, authenticated, stream := *v1, *v1, *v1
	never.Degrade, authenticated.Degrade, stream.StreamLarge = DegradeNever, DegradeAuthenticated, true

	tests := []struct {
		name   string
		rule   *Rule
		resp   Response
		action Action
		reason Reason
	}{
		{"200", v1, legacy(200), Compose, ""},
		{"200 of known length", v1, with(legacy(200), func(r *Response) { r.ContentLength = known }), Compose, ""},
		{"200 just within the limit", v1, with(legacy(200), func(r *Response) { r.ContentLength = 1 << 20 }), Compose, ""},
		{"200 over the limit", v1, with(legacy(200), func(r *Response) { r.ContentLength = 1<<20 + 1 }), Pass, CoreTooLarge},
		{"200 without a body", v1, with(legacy(200), func(r *Response) { r.Bodyless = true }), Degrade, CoreEmpty},
		{"200 gzip", v1, with(legacy(200), func(r *Response) { r.ContentEncoding = "GZIP" }), Compose, ""},
		{"200 deflate", v1, with(legacy(200), func(r *Response) { r.ContentEncoding = "deflate" }), Compose, ""},
		{"200 identity", v1, with(legacy(200), func(r *Response) { r.ContentEncoding = "identity" }), Compose, ""},
		{"200 br", v1, with(legacy(200), func(r *Response) { r.ContentEncoding = "br" }), Pass, CoreEncoded},
		{"200 gzip twice", v1, with(legacy(200), func(r *Response) { r.ContentEncoding = "gzip, gzip" }), Pass, CoreEncoded},
		{"200 no-transform", v1, with(legacy(200), func(r *Response) { r.NoTransform = true }), Pass, NoTransform},
		{"201", v1, legacy(201), Compose, ""},
		{"204", v1, legacy(204), Degrade, CoreEmpty},
		{"205", v1, legacy(205), Degrade, CoreEmpty},
		{"204, and never", &never, legacy(204), Pass, NotDegraded},
		{"204 to a POST", &never, with(legacy(204), func(r *Response) { r.Method = "POST" }), Pass, NoContent},
		{
			"201 without a body to a POST", v1,
			with(legacy(201), func(r *Response) { r.Method, r.Bodyless = "POST", true }), Pass, NoContent,
		},
		{
			"200 to a HEAD", &never,
			with(legacy(200), func(r *Response) { r.Method, r.Bodyless = "HEAD", true }), Compose, "",
		},
		{
			"404 to a HEAD", v1,
			with(legacy(404), func(r *Response) { r.Method, r.Bodyless = "HEAD", true }), Pass, LegacyNotFound,
		},
		{"206", v1, legacy(206), Pass, PartialContent},
		{"101", v1, legacy(101), Pass, NotFinal},
		{"302", v1, legacy(302), Pass, LegacyRedirect},
		{"304", v1, legacy(304), Pass, LegacyRedirect},
		{"401", v1, legacy(401), Pass, ClientError},
		{"403 on the composite route", v3, legacy(403), Pass, ClientError},
		{"404", v1, legacy(404), Pass, LegacyNotFound},
		{"404 on the composite route", v3, legacy(404), Degrade, CoreNotFound},
		{"429", v1, legacy(429), Pass, ClientError},
		{"500", v1, legacy(500), Degrade, LegacyError},
		{"503 on the composite route", v3, legacy(503), Degrade, LegacyError},
		{"no status", v1, legacy(0), Pass, NotFinal},

		{"unreachable", v1, Response{Method: "GET", Origin: OriginUnreachable, Status: 503}, Degrade, LegacyUnreachable},
		{"unreachable, by a status that says something else", v1, unreachable(404), Pass, LocalReply},
		{"the proxy's own 403", v1, Response{Method: "GET", Origin: OriginProxy, Status: 403}, Pass, LocalReply},
		{"the proxy's own 404", v3, Response{Method: "GET", Origin: OriginProxy, Status: 404}, Pass, LocalReply},
		{"the proxy's own 500", v1, Response{Method: "GET", Origin: OriginProxy, Status: 500}, Pass, LocalReply},
		{"the proxy's own 200", v1, Response{Method: "GET", Origin: OriginProxy, Status: 200}, Pass, LocalReply},
		{"a proxy that does not say who answered", v1, Response{Status: 200}, Pass, OriginNotSaid},
		{"nothing at all", v1, Response{}, Pass, OriginNotSaid},

		{"never", &never, legacy(500), Pass, NotDegraded},
		{"never, unreachable", &never, Response{Method: "GET", Origin: OriginUnreachable, Status: 503}, Pass, NotDegraded},
		{
			"never, and a 200 without a core: it may be a login page", &never,
			with(legacy(200), func(r *Response) { r.Bodyless = true }), Pass, NotDegraded,
		},
		{"authenticated, and nobody is", &authenticated, legacy(500), Pass, NotDegraded},
		{"authenticated", &authenticated, with(legacy(500), func(r *Response) { r.Verified = true }), Degrade, LegacyError},

		{"stream over the limit", &stream, with(legacy(200), func(r *Response) { r.ContentLength = 1 << 30 }), Stream, ""},
		{"stream of unknown length", &stream, legacy(200), Stream, ""},
		{"stream within the limit", &stream, with(legacy(200), func(r *Response) { r.ContentLength = known }), Compose, ""},
		{"stream gzip within the limit", &stream, encoded("gzip", known), Compose, ""},
		{"stream gzip over the limit", &stream, encoded("gzip", 1<<30), Pass, CoreTooLarge},
	}
	for _, test := range tests {
		if action, reason := test.rule.Verdict(test.resp); action != test.action || reason != test.reason {
			t.Errorf("%s: %d %q, want %d %q", test.name, action, reason, test.action, test.reason)
		}
	}
}

func TestOutcomeString(t *testing.T) {
	for want, outcome := range map[string]Outcome{
		"composed":                      {Disposition: Composed},
		"passed; reason=client-error":   {Disposition: Passed, Reason: ClientError},
		"degraded; reason=legacy-error": {Disposition: Degraded, Reason: LegacyError},
		"degraded; reason=legacy-unreachable+extension-timeout": {
			Disposition: Degraded, Reason: LegacyUnreachable, Also: ExtensionTimeout,
		},
		"degraded; reason=extension-failed; extension=stale": {
			Disposition: Degraded, Reason: ExtensionFailed, Stale: true,
		},
	} {
		if got := outcome.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestVerdictOnCore: an invalid core is a failure of the legacy service.
func TestVerdictOnCore(t *testing.T) {
	always, get := UserProfile()[0], Response{Method: "GET", Origin: OriginLegacy, Status: 200}
	never, authenticated := *always, *always
	never.Degrade, authenticated.Degrade = DegradeNever, DegradeAuthenticated
	verified, post := get, get
	verified.Verified, post.Method = true, "POST"
	invalid := Core{Failed: CoreInvalid}
	for _, test := range []struct {
		name   string
		rule   *Rule
		resp   Response
		core   Core
		action Action
		reason Reason
	}{
		{"a core", always, get, Core{}, Compose, ""},
		{"none", always, get, invalid, Degrade, CoreInvalid},
		{"none, and never", &never, get, invalid, Pass, NotDegraded},
		{"none, and nobody is authenticated", &authenticated, get, invalid, Pass, NotDegraded},
		{"none, and somebody is", &authenticated, verified, invalid, Degrade, CoreInvalid},
		{"none, of a POST", always, post, invalid, Pass, CoreInvalid},
	} {
		if action, reason := test.rule.VerdictOnCore(test.resp, test.core); action != test.action || reason != test.reason {
			t.Errorf("%s: %v %q, want %v %q", test.name, action, reason, test.action, test.reason)
		}
	}
}
