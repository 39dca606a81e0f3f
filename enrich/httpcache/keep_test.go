package httpcache_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/enrich/httpcache"
)

// TestKeep is RFC 9111, section 3, for responses with status 200 to GET.
func TestKeep(t *testing.T) {
	for _, test := range []struct {
		request, response string
		why               string
	}{
		{"", "", ""}, // status 200 needs no explicit freshness information
		{"", "Cache-Control: max-age=60", ""},
		{"", "Cache-Control: no-cache", ""}, // kept for validation, section 5.2.2.4
		{"", "Cache-Control: max-age=0, must-revalidate", ""},
		{"", "Pragma: no-cache", ""}, // has no meaning in responses, section 5.4

		// no-store, sections 5.2.1.5 and 5.2.2.5
		{"Cache-Control: no-store", "", "the request has no-store"},
		{"Pragma: no-store", "", "the request has no-store"},
		{"Pragma: no-store; Cache-Control: x", "", ""}, // Pragma counts without Cache-Control only
		{"", "Cache-Control: no-store", "the response has no-store"},
		{"", "Cache-Control: No-StOrE, max-age=60", "the response has no-store"},
		{"", "Cache-Control: no-store=1", "the response has no-store"},
		{"", "Cache-Control: no-store x", "the response has no-store"},
		{"", `Cache-Control: x="a, no-store`, "the response has no-store"},
		{"", `Cache-Control: x="a, no-store"`, ""},

		// must-understand replaces no-store if the cache knows the status code, section 5.2.2.3
		{"", "Cache-Control: no-store, must-understand", ""},

		// private, section 5.2.2.7
		{"", "Cache-Control: private, max-age=60", "the response has private"},
		{"", "Cache-Control: private, public", "the response has private"},
		{"", `Cache-Control: private="x-name"`, ""},
		{"", `Cache-Control: private=x-name`, ""},
		{"", `Cache-Control: private="x-name", private`, "the response has private"},
		{"", `Cache-Control: private="x-name", private="x-other"`, "the response has private"},
		{"", `Cache-Control: private=""`, "the response has private"},
		{"", `Cache-Control: private="x name"`, "the response has private"},
		{"", `Cache-Control: private="cache-control"`, "the response has private"},
		{"", `Cache-Control: private="vary"; Vary: x-name`, "the response has private"},

		// Vary, section 4.1
		{"", "Vary: *", "vary is *"},
		{"", "Vary: accept-language, *", "vary is *"},
		{"", "Vary: accept-language; Vary: *", "vary is *"},
		{"", "Vary: accept-language", ""},
	} {
		if _, why := httpcache.Keep(get(test.request), ok(test.response), false); why != test.why {
			t.Errorf("%s → %s\n why %q, want %q", test.request, test.response, why, test.why)
		}
	}
}

func TestKeepNeedsGetAnd200(t *testing.T) {
	for _, method := range []string{"HEAD", "POST", "PUT", "OPTIONS", "get", ""} {
		if _, why := httpcache.Keep(httpcache.Request{Method: method}, ok(""), false); why != "the method is not GET" {
			t.Errorf("%s: why %q", method, why)
		}
	}
	for _, status := range []int{0, 103, 203, 204, 206, 301, 304, 404, 503} {
		r := ok("Cache-Control: max-age=60")
		r.Status = status
		if _, why := httpcache.Keep(get(""), r, false); why != "the status is not 200" {
			t.Errorf("%d: why %q", status, why)
		}
	}
}

// TestKeepWithCredentials is RFC 9111, section 3.5.
func TestKeepWithCredentials(t *testing.T) {
	for _, test := range []struct {
		response string
		isParty  bool
		why      string
	}{
		{"", false, "the request has credentials"},
		{"Cache-Control: max-age=60", false, "the request has credentials"},
		{"Cache-Control: max-age=60, proxy-revalidate", false, "the request has credentials"},
		{"Cache-Control: max-age=60, public", false, ""},
		{"Cache-Control: max-age=60, must-revalidate", false, ""},
		{"Cache-Control: s-maxage=60", false, ""},
		{"Cache-Control: max-age=60", true, ""}, // only this caller has the key
		{"Cache-Control: private", true, "the response has private"},
	} {
		req := get("")
		req.HasCredentials = true
		kept, why := httpcache.Keep(req, ok(test.response), test.isParty)
		if why != test.why || kept.IsParty != test.isParty {
			t.Errorf("%s, party %t\n why %q, want %q", test.response, test.isParty, why, test.why)
		}
		wantUse := httpcache.Fresh
		if why != "" {
			wantUse = httpcache.No
		}
		if use := kept.Use(req, at(0)); test.response != "" && use != wantUse && why != "the response has private" {
			t.Errorf("%s, party %t\n use %d, want %d", test.response, test.isParty, use, wantUse)
		}
	}
}

// TestFieldsThatAreKept is RFC 9111, sections 3.1, 5.2.2.4 and 5.2.2.7. Set-Cookie is never kept.
func TestFieldsThatAreKept(t *testing.T) {
	for _, test := range []struct{ response, kept string }{
		{
			"Connection: a, close; A: 1; B: 2; Keep-Alive: timeout=5; Proxy-Authenticate: x; Te: x; Trailer: x; " +
				"Transfer-Encoding: chunked; Upgrade: x; Proxy-Connection: x; Proxy-Authentication-Info: x",
			"B: 2",
		},
		{"Connection: a; Connection: b; A: 1; B: 2; C: 3", "C: 3"},
		{"Set-Cookie: a=b; Set-Cookie2: a=b; Content-Length: 2; Content-Type: text/plain", "Content-Type: text/plain"},
		{
			`Cache-Control: max-age=60, no-cache="a, B", private=c; A: 1; B: 2; C: 3; D: 4`,
			`Cache-Control: max-age=60, no-cache="a, B", private=c; D: 4`,
		},
		{`Cache-Control: no-cache; A: 1`, `Cache-Control: no-cache; A: 1`},
		{`Age: 1; Date: x; Etag: "a"; Vary: x`, `Age: 1; Date: x; Etag: "a"; Vary: x`},
	} {
		kept, _ := httpcache.Keep(get(""), ok(test.response), false)
		if diff := cmp.Diff(fields(test.kept), kept.Header); diff != "" {
			t.Errorf("%s\n%s", test.response, diff)
		}
	}
}

// TestMatches is RFC 9111, section 4.1.
func TestMatches(t *testing.T) {
	const nothing = ""
	for _, test := range []struct {
		vary, request, other string
		matches              bool
	}{
		{"", "A: 1", "A: 2", true},
		{"Vary: a", "A: 1", "A: 1", true},
		{"Vary: a", "A: 1", "A: 1; B: 2", true},
		{"Vary: a", "A: 1", "A: 2", false},
		{"Vary: a", "A: 1", "A: 1; A: 2", false},
		{"Vary: a", "A: 1", nothing, false},
		{"Vary: a", nothing, "A: 1", false},
		{"Vary: a", nothing, nothing, true},
		{"Vary: a, b", "A: 1; B: 2", "A: 1; B: 2", true},
		{"Vary: a, b", "A: 1; B: 2", "A: 1; B: 3", false},
		{"Vary: a; Vary: b", "A: 1; B: 2", "A: 1; B: 3", false},
		{"Vary: ,a,", "A: 1", "A: 2", false},

		// Whitespace and the split into lines do not matter. Order and case of values do.
		{"Vary: a", "A: 1,2", "A: 1 , 2", true},
		{"Vary: a", "A: 1, 2", "A: 1; A: 2", true},
		{"Vary: a", "A: 1, 2", "A: 2, 1", false},
		{"Vary: a", "A: x", "A: X", false},
		{"Vary: a", `A: "1,2"`, `A: "1, 2"`, false},
	} {
		kept, _ := httpcache.Keep(get(test.request), ok(test.vary), false)
		if got := kept.Matches(get(test.other)); got != test.matches {
			t.Errorf("%s: %q for %q: %t, want %t", test.vary, test.request, test.other, got, test.matches)
		}
	}
}

// TestHiddenFields is the part of Vary for fields whose values are not known.
func TestHiddenFields(t *testing.T) {
	anonymous, caller := get(""), get("")
	caller.Hidden = func(name string) bool { return name == "Cookie" }
	caller.HasCredentials = true
	r := ok("Vary: cookie; Cache-Control: public, max-age=60")

	if _, why := httpcache.Keep(caller, r, true); why != "vary names a field whose value is not known" {
		t.Errorf("why %q", why)
	}
	kept, why := httpcache.Keep(anonymous, r, false)
	if why != "" || !kept.Matches(anonymous) || kept.Matches(caller) {
		t.Errorf("why %q, matches anonymous %t, caller %t", why, kept.Matches(anonymous), kept.Matches(caller))
	}
	if kept, _ := httpcache.Keep(anonymous, ok("Cache-Control: public"), false); !kept.Matches(caller) {
		t.Error("a response that does not depend on the hidden field does not match")
	}
}

// TestConditions is RFC 9111, section 4.3.1.
func TestConditions(t *testing.T) {
	modified := "Last-Modified: " + date(-60)
	for _, test := range []struct{ response, conditions string }{
		{"", ""},
		{`Etag: "a"`, `If-None-Match: "a"`},
		{`Etag: W/"a"`, `If-None-Match: W/"a"`},
		{`Etag: ""`, `If-None-Match: ""`},
		{"Etag: \"\xfc\"", "If-None-Match: \"\xfc\""},
		{modified, "If-Modified-Since: " + date(-60)},
		{`Etag: "a"; ` + modified, `If-None-Match: "a"; If-Modified-Since: ` + date(-60)},

		// Invalid validators are not sent.
		{"Etag: a; " + modified, "If-Modified-Since: " + date(-60)},
		{`Etag: "a`, ""},
		{`Etag: "a"b"`, ""},
		{`Etag: w/"a"`, ""},
		{`Etag: "`, ""},
		{"Last-Modified: yesterday", ""},
	} {
		if diff := cmp.Diff(fields(test.conditions), ok(test.response).Conditions()); diff != "" {
			t.Errorf("%s\n%s", test.response, diff)
		}
	}
}

// TestFreshen is RFC 9111, sections 3.2 and 4.3.4.
func TestFreshen(t *testing.T) {
	for _, test := range []struct{ name, kept, confirmed, fresh string }{
		{
			"fields are replaced, others stay",
			`Etag: "a"; A: 1; B: 1; B: 2; Cache-Control: max-age=1`, `Etag: "a"; B: 3; C: 4; Cache-Control: max-age=60`,
			`Etag: "a"; A: 1; B: 3; C: 4; Cache-Control: max-age=60`,
		},
		{
			"fields that are not kept are not taken from the 304 either",
			`Etag: "a"; A: 1`, `Connection: A; A: 2; Set-Cookie: a=b; Cache-Control: no-cache="D"; D: 1`,
			`Etag: "a"; A: 1; Cache-Control: no-cache="D"`,
		},
		{
			"fields that describe the content stay",
			`Etag: "a"; Content-Type: application/json; Content-Encoding: br`,
			`Content-Length: 0; Content-Type: text/html; Content-Encoding: gzip; Content-Range: x; ` +
				`Content-Md5: x; Content-Digest: x`,
			`Etag: "a"; Content-Type: application/json; Content-Encoding: br`,
		},
		{
			"age and date are those of the 304",
			`Etag: "a"; Age: 30; Date: ` + date(0), `Age: 5`,
			`Etag: "a"; Age: 5`,
		},
		{
			"a date without an age",
			`Age: 30`, `Date: ` + date(90),
			`Date: ` + date(90),
		},
		{
			"the same weak validator",
			`Etag: W/"a"; Last-Modified: x`, `Etag: W/"a"; Last-Modified: y`, `Etag: W/"a"; Last-Modified: y`,
		},
		{"the same modification date", `Last-Modified: x`, `Last-Modified: x`, `Last-Modified: x`},
	} {
		kept := exchange(0, 1, "{}", test.kept)
		confirmed := exchange(100, 101, "", test.confirmed)
		confirmed.Status = http.StatusNotModified
		fresh, isConfirmed := kept.Freshen(confirmed)
		if diff := cmp.Diff(exchange(100, 101, "{}", test.fresh), fresh); diff != "" || !isConfirmed {
			t.Errorf("%s: %t\n%s", test.name, isConfirmed, diff)
		}
		if diff := cmp.Diff(exchange(0, 1, "{}", test.kept), kept); diff != "" {
			t.Errorf("%s: Freshen changed its receiver:\n%s", test.name, diff)
		}
	}
	for _, test := range []struct{ kept, confirmed string }{
		{`Etag: "a"`, `Etag: "b"`},
		{`Etag: W/"a"`, `Etag: "a"`}, // a strong validator identifies responses with the same strong one
		{`Last-Modified: x`, `Last-Modified: y`},
		{`Last-Modified: x`, `Etag: "a"; Last-Modified: x`},
	} {
		fresh, isConfirmed := ok(test.kept).Freshen(ok(test.confirmed))
		if isConfirmed || cmp.Diff(ok(test.kept), fresh) != "" {
			t.Errorf("%s was confirmed by %s: %v", test.kept, test.confirmed, fresh)
		}
	}
}
