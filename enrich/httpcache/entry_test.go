package httpcache_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"weft/enrich/httpcache"
)

// update returns e after a response to a request with the given header lines, and why it is not kept.
func update(e httpcache.Entry, request string, resp httpcache.Response) (httpcache.Entry, string) {
	return e.Update(get(request), resp, false)
}

// bodies returns the bodies of an entry, the last kept first.
func bodies(e httpcache.Entry) string {
	var all []string
	for _, r := range e.Responses {
		all = append(all, string(r.Body))
	}
	return strings.Join(all, " ")
}

// TestUpdateOrder has a kept response "old", requested at 10 and received at 20, and another one.
func TestUpdateOrder(t *testing.T) {
	const (
		overlapping = "an overlapping request had another response"
		later       = "a later response is kept"
		noStore     = "the response has no-store"
	)
	for _, test := range []struct {
		name                string
		requested, received int
		body, response      string
		kept, why           string
		since               int // 0: none
	}{
		{"a later one replaces it", 20, 30, "new", "", "new", "", 0},
		{"a later one with the same second", 20, 20, "new", "Date: " + date(10), "new", "", 0},
		{
			"a later one with an earlier date", 20, 30, "new", "Date: " + date(9),
			"", "the date is before that of the last response", 30,
		},
		{"a later one that has not changed", 20, 30, "old", "Date: " + date(9), "old", "", 0},
		{"an earlier one that arrives late", 0, 10, "new", "", "old", later, 0},
		{"an earlier one that has not changed", 0, 10, "old", "", "old", later, 0},
		{"they overlap", 15, 30, "new", "", "", overlapping, 30},
		{"they overlap, the other way", 5, 15, "new", "", "", overlapping, 20},
		{"one within the other", 0, 30, "new", "Date: " + date(30), "", overlapping, 30},
		{"they overlap and agree", 15, 30, "old", "", "old", "", 0},

		{"a later one that may not be kept", 20, 30, "new", "Cache-Control: no-store", "", noStore, 30},
		{"a later one that may not be kept and agrees", 20, 30, "old", "Cache-Control: no-store", "old", noStore, 0},
		{"an earlier one that may not be kept", 0, 10, "new", "Cache-Control: no-store", "old", later, 0},
		{"an overlapping one that may not be kept", 15, 30, "new", "Vary: *", "", overlapping, 30},
	} {
		e, why := update(httpcache.Entry{}, "", exchange(10, 20, "old", "Date: "+date(10)))
		if why != "" {
			t.Fatal(why)
		}
		e, why = update(e, "", exchange(test.requested, test.received, test.body, test.response))
		var since time.Time
		if test.since != 0 {
			since = at(test.since)
		}
		if bodies(e) != test.kept || why != test.why || !e.Since.Equal(since) {
			t.Errorf("%s: kept %q, want %q; why %q, want %q; since %v, want %v",
				test.name, bodies(e), test.kept, why, test.why, e.Since, since)
		}
	}
}

// TestUpdateByStatus has a kept response, and a later one with another status.
func TestUpdateByStatus(t *testing.T) {
	for _, test := range []struct {
		status         int
		hasCredentials bool
		isKept         bool // the first response
	}{
		// Failures say nothing about the resource.
		{500, false, true},
		{503, false, true},
		{599, false, true},
		{http.StatusRequestTimeout, false, true},
		{http.StatusTooEarly, false, true},
		{http.StatusTooManyRequests, false, true},
		{http.StatusNotModified, false, true},
		{http.StatusEarlyHints, false, true},
		// Others do: what is kept may be outdated, deleted or forbidden.
		{http.StatusNotFound, false, false},
		{http.StatusGone, false, false},
		{http.StatusForbidden, false, false},
		{http.StatusUnauthorized, false, false},
		{http.StatusNoContent, false, false},
		{http.StatusMovedPermanently, false, false},
		// What a caller with credentials gets is not for others.
		{http.StatusOK, true, true},
		{http.StatusUnauthorized, true, true},
		{http.StatusForbidden, true, true},
		{http.StatusNotFound, true, false},
	} {
		e, _ := update(httpcache.Entry{}, "", exchange(0, 1, "old", ""))
		req, resp := get(""), exchange(10, 11, "new", "")
		req.HasCredentials, resp.Status = test.hasCredentials, test.status
		e, why := e.Update(req, resp, false)
		if isKept := bodies(e) == "old"; isKept != test.isKept || why == "" {
			t.Errorf("%d, credentials %t: kept %t; why %q", test.status, test.hasCredentials, isKept, why)
		}
	}
}

// TestUpdateOfAParty: the key of the entry belongs to one caller, so that what the caller may no longer see is removed.
func TestUpdateOfAParty(t *testing.T) {
	req := get("")
	req.HasCredentials = true
	e, why := httpcache.Entry{}.Update(req, exchange(0, 1, "old", "Cache-Control: max-age=60"), true)
	if r, ok := e.Select(req); why != "" || !ok || r.Use(req, at(2)) != httpcache.Fresh {
		t.Fatalf("why %q, selected %t", why, ok)
	}
	forbidden := exchange(10, 11, "", "")
	forbidden.Status = http.StatusForbidden
	if e, _ = e.Update(req, forbidden, true); len(e.Responses) != 0 {
		t.Error("the response is kept after 403")
	}
}

func TestUpdateOfOtherMethods(t *testing.T) {
	e, _ := update(httpcache.Entry{}, "", exchange(0, 1, "old", ""))
	e, why := e.Update(httpcache.Request{Method: http.MethodHead}, exchange(10, 11, "", ""), false)
	if bodies(e) != "old" || why != "the method is not GET" {
		t.Errorf("kept %q, why %q", bodies(e), why)
	}
}

// TestUpdateAfter304 validates a stale response.
func TestUpdateAfter304(t *testing.T) {
	e, _ := update(httpcache.Entry{}, "A: 1", exchange(0, 1, "old", `Etag: "a"; Cache-Control: max-age=10; Vary: a`))
	r, _ := e.Select(get("A: 1"))
	confirmed := exchange(20, 21, "", `Etag: "a"`)
	confirmed.Status = http.StatusNotModified
	fresh, isConfirmed := r.Freshen(confirmed)
	e, why := update(e, "A: 1", fresh)
	r, isSelected := e.Select(get("A: 1"))
	if !isConfirmed || why != "" || !isSelected || r.Use(get("A: 1"), at(25)) != httpcache.Fresh || len(e.Responses) != 1 {
		t.Errorf("confirmed %t, why %q, selected %t: %v", isConfirmed, why, isSelected, r)
	}

	// A 304 may also say that the response must not be kept any longer.
	confirmed = exchange(30, 31, "", `Cache-Control: no-store`)
	fresh, _ = r.Freshen(confirmed)
	if _, why := update(e, "A: 1", fresh); why != "the response has no-store" {
		t.Errorf("why %q", why)
	}
}

func TestVariants(t *testing.T) {
	var e httpcache.Entry
	for i := range 6 {
		language := fmt.Sprintf("A: %d", i)
		if _, ok := e.Select(get(language)); ok {
			t.Errorf("%s: selected", language)
		}
		e, _ = update(e, language, exchange(10*i, 10*i+1, fmt.Sprint(i), "Vary: a"))
	}
	if bodies(e) != "5 4 3 2" || !e.Since.Equal(at(11)) {
		t.Errorf("kept %q since %v, want the last four, and nothing from before the others", bodies(e), e.Since)
	}
	if r, ok := e.Select(get("A: 3")); !ok || string(r.Body) != "3" {
		t.Errorf("selected %q, %t", r.Body, ok)
	}

	// A response that depends on other fields replaces all that it could be used instead of.
	e, _ = update(e, "A: 3", exchange(100, 101, "three", "Vary: a, b"))
	if bodies(e) != "three 5 4 2" {
		t.Errorf("kept %q", bodies(e))
	}
	e, _ = update(e, "A: 1", exchange(110, 111, "any", ""))
	if bodies(e) != "any" {
		t.Errorf("kept %q", bodies(e))
	}
}

// TestOutdate: after a change with an unknown outcome, a response is not fresh until it was validated.
func TestOutdate(t *testing.T) {
	req := get("")
	e, why := httpcache.Entry{}.Update(req, ok("Cache-Control: max-age=60; Etag: 1"), false)
	if why != "" {
		t.Fatal(why)
	}
	e = e.Outdate(at(10))
	decoded, err := httpcache.Decode(httpcache.Encode(e))
	if err != nil {
		t.Fatal(err)
	}
	r, _ := decoded.Select(req)
	if use := r.Use(req, at(11)); use != httpcache.Validate || !r.StandsIn(req, at(11), time.Minute) {
		t.Errorf("use %d", use)
	}
	confirmed := ok("Cache-Control: max-age=60")
	confirmed.Requested, confirmed.Received = at(12), at(12)
	fresh, _ := r.Freshen(confirmed)
	if use := fresh.Use(req, at(13)); use != httpcache.Fresh {
		t.Errorf("use %d after the validation", use)
	}
	late := ok("Cache-Control: max-age=60")
	if _, why := e.Update(req, late, false); why == "" {
		t.Error("a response to a request before the change is kept")
	}
}

func TestInvalidate(t *testing.T) {
	e, _ := update(httpcache.Entry{}, "", exchange(0, 1, "old", ""))
	e = e.Invalidate(at(10))
	if bodies(e) != "" || !e.Since.Equal(at(10)) || !e.Invalidate(at(5)).Since.Equal(at(10)) {
		t.Errorf("kept %q since %v", bodies(e), e.Since)
	}
	const changed = "the resource may have changed since the request"
	if e, why := update(e, "", exchange(9, 20, "old", "")); bodies(e) != "" || why != changed {
		t.Errorf("a response to a request from before: kept %q, why %q", bodies(e), why)
	}
	if e, why := update(e, "", exchange(10, 20, "new", "")); bodies(e) != "new" || why != "" {
		t.Errorf("a response to a request after: kept %q, why %q", bodies(e), why)
	}
}

func TestTTL(t *testing.T) {
	const limit = 100 * time.Second
	for response, want := range map[string]time.Duration{
		"":                                     limit,
		"Cache-Control: max-age=60":            160 * time.Second,
		"Cache-Control: max-age=60; Age: 50":   110 * time.Second,
		"Cache-Control: s-maxage=60":           60 * time.Second,
		`Cache-Control: max-age=60; Etag: "a"`: time.Hour + 60*time.Second,
		`Cache-Control: no-cache; Etag: "a"`:   time.Hour,
		"Cache-Control: no-cache":              0,
		"Cache-Control: max-age=9999999999":    1<<31*time.Second + limit,

		"Expires: Fri, 31 Dec 9999 23:59:59 GMT": 1<<31*time.Second + limit,
	} {
		e, _ := update(httpcache.Entry{}, "", ok(response))
		if ttl := e.TTL(at(0), limit); ttl != want {
			t.Errorf("%s: %v, want %v", response, ttl, want)
		}
	}
	if ttl := (httpcache.Entry{}).TTL(at(0), limit); ttl > 0 {
		t.Errorf("an empty entry: %v", ttl)
	}
	if ttl := (httpcache.Entry{}).Invalidate(at(0)).TTL(at(10), limit); ttl != 290*time.Second {
		t.Errorf("an invalidated entry: %v", ttl)
	}
	if ttl := (httpcache.Entry{}).Invalidate(at(0)).TTL(at(10), time.Hour); ttl != time.Hour-10*time.Second {
		t.Errorf("an invalidated entry, while another store may have a response: %v", ttl)
	}
}

func TestReceivedSince(t *testing.T) {
	e, _ := update(httpcache.Entry{}.Invalidate(at(5)), "A: 1", exchange(10, 12, "a", "Vary: a"))
	e, _ = update(e, "A: 2", exchange(20, 22, "b", "Vary: a"))
	for from, want := range map[int]struct {
		bodies string
		since  int // 0: never
	}{5: {"b a", 5}, 12: {"b a", 5}, 13: {"b", 12}, 22: {"b", 12}, 23: {"", 0}} {
		got := e.ReceivedSince(at(from))
		since := at(want.since)
		if want.since == 0 {
			since = time.Time{}
		}
		if bodies(got) != want.bodies || !got.Since.Equal(since) {
			t.Errorf("since second %d: %q, %v", from, bodies(got), got.Since)
		}
	}
	if got := e.Invalidate(at(30)).ReceivedSince(at(30)); bodies(got) != "" || !got.Since.Equal(at(30)) {
		t.Errorf("after a change: %+v", got)
	}
}
