package httpcache_test

import (
	"net/http"
	"testing"
	"time"

	"weft/enrich/httpcache"
)

// TestUse is RFC 9111, section 4, at an age of 30 seconds.
func TestUse(t *testing.T) {
	const fresh, validate = httpcache.Fresh, httpcache.Validate
	for _, test := range []struct {
		request, response string
		use               httpcache.Use
	}{
		{"", "", validate},
		{"", "Cache-Control: max-age=31", fresh},
		{"", "Cache-Control: max-age=30", validate}, // "freshness_lifetime > current_age", section 4.2
		{"", "Cache-Control: max-age=29", validate},
		{"", "Cache-Control: max-age=60; Age: 30", validate},
		{"", "Cache-Control: max-age=60, must-revalidate, proxy-revalidate", fresh}, // while fresh, section 5.2.2.2
		{"", "Cache-Control: s-maxage=60", fresh},

		// no-cache of a response, section 5.2.2.4
		{"", "Cache-Control: max-age=60, no-cache", validate},
		{"", `Cache-Control: max-age=60, no-cache="a"`, fresh},
		{"", `Cache-Control: max-age=60, no-cache="date"`, validate},
		{"", `Cache-Control: max-age=60, no-cache=1 2`, validate},
		{"", "Cache-Control: max-age=60; Pragma: no-cache", fresh},

		// no-cache of a request, sections 5.2.1.4 and 5.4
		{"Cache-Control: no-cache", "Cache-Control: max-age=60", validate},
		{"Pragma: no-cache", "Cache-Control: max-age=60", validate},
		{"Pragma: x", "Cache-Control: max-age=60", fresh},
		{"Pragma: no-cache; Cache-Control: max-age=60", "Cache-Control: max-age=60", fresh},

		// no-store of a request says nothing about kept responses, section 5.2.1.5
		{"Cache-Control: no-store", "Cache-Control: max-age=60", fresh},

		// max-age of a request, section 5.2.1.1
		{"Cache-Control: max-age=30", "Cache-Control: max-age=60", fresh},
		{"Cache-Control: max-age=29", "Cache-Control: max-age=60", validate},
		{"Cache-Control: max-age=x", "Cache-Control: max-age=60", validate},
		{"Cache-Control: max-age=60", "Cache-Control: max-age=20", validate},

		// min-fresh of a request, section 5.2.1.3
		{"Cache-Control: min-fresh=30", "Cache-Control: max-age=60", fresh},
		{"Cache-Control: min-fresh=31", "Cache-Control: max-age=60", validate},

		// max-stale of a request, section 5.2.1.2
		{"Cache-Control: max-stale=10", "Cache-Control: max-age=20", fresh},
		{"Cache-Control: max-stale=9", "Cache-Control: max-age=20", validate},
		{"Cache-Control: max-stale", "Cache-Control: max-age=20", fresh},
		{"Cache-Control: max-stale=x", "Cache-Control: max-age=20", validate},
		{"Cache-Control: max-stale, max-age=30", "Cache-Control: max-age=20", fresh},
		{"Cache-Control: max-stale, max-age=29", "Cache-Control: max-age=20", validate},
		{"Cache-Control: max-stale", "Cache-Control: max-age=20, must-revalidate", validate}, // section 4.2.4
		{"Cache-Control: max-stale", "Cache-Control: max-age=20, proxy-revalidate", validate},
		{"Cache-Control: max-stale", "Cache-Control: s-maxage=20", validate}, // section 5.2.2.10
		{"Cache-Control: max-stale", "Cache-Control: max-age=20, no-cache", validate},
	} {
		if use := ok(test.response).Use(get(test.request), at(30)); use != test.use {
			t.Errorf("%s → %s\n use %d, want %d", test.request, test.response, use, test.use)
		}
	}
}

func TestUseOfAnotherResponse(t *testing.T) {
	r, _ := httpcache.Keep(get("A: 1"), ok("Cache-Control: max-age=60; Vary: a"), false)
	credentials := get("A: 1")
	credentials.HasCredentials = true
	for name, req := range map[string]httpcache.Request{
		"another variant":                   get("A: 2"),
		"another method":                    {Method: http.MethodHead, Header: fields("A: 1")},
		"credentials, and it is not public": credentials,
	} {
		if use := r.Use(req, at(0)); use != httpcache.No {
			t.Errorf("%s: use %d", name, use)
		}
		if r.StandsIn(req, at(0), time.Hour) {
			t.Errorf("%s: stands in", name)
		}
	}
}

// TestStandsIn is RFC 5861, section 4, with the freshness lifetime of 60 seconds and the rule's limit of 100 seconds.
func TestStandsIn(t *testing.T) {
	for _, test := range []struct {
		request, response string
		age               int
		standsIn          bool
	}{
		{"", "", 30, true},
		{"", "", 160, true},
		{"", "", 161, false},

		// The smaller of the rule's limit and the directive counts.
		{"", ", stale-if-error=50", 110, true},
		{"", ", stale-if-error=50", 111, false},
		{"", ", stale-if-error=500", 161, false},
		{"", ", stale-if-error=x", 61, false},
		{"", ", stale-if-error=0", 59, true},
		{"Cache-Control: stale-if-error=50", "", 111, false},

		// RFC 9111, section 4.2.4
		{"", ", must-revalidate", 59, true},
		{"", ", must-revalidate", 60, false},
		{"", ", proxy-revalidate", 61, false},
		{"", ", s-maxage=60", 61, false},
		{"", ", no-cache", 30, false},
		{"", `, no-cache="a"`, 61, true},

		// The client prefers another response, which there is not.
		{"Cache-Control: no-cache", "", 160, true},
		{"Cache-Control: max-age=0", "", 160, true},
		{"Cache-Control: min-fresh=10", "", 160, true},
		{"Cache-Control: max-stale=5", "", 160, true},
	} {
		r := ok("Cache-Control: max-age=60" + test.response)
		if got := r.StandsIn(get(test.request), at(test.age), 100*time.Second); got != test.standsIn {
			t.Errorf("%s → %s at %d: %t, want %t", test.request, test.response, test.age, got, test.standsIn)
		}
	}
	if ok("Cache-Control: max-age=60").StandsIn(get(""), at(60), -1) {
		t.Error("a stale response stands in although the rule does not allow it")
	}
}

// TestInvalidates is RFC 9111, section 4.4.
func TestInvalidates(t *testing.T) {
	for _, test := range []struct {
		method string
		status int
		want   bool
	}{
		{"PUT", 200, true},
		{"DELETE", 204, true},
		{"POST", 303, true},
		{"UNKNOWN", 200, true},
		{"PUT", 103, false},
		{"PUT", 404, false},
		{"POST", 503, false},
		{"GET", 200, false},
		{"HEAD", 200, false},
		{"OPTIONS", 200, false},
		{"TRACE", 200, false},
	} {
		if got := httpcache.Invalidates(test.method, test.status); got != test.want {
			t.Errorf("%s %d: %t", test.method, test.status, got)
		}
	}
}
