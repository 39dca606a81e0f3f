package httpcache_test

import (
	"fmt"
	"testing"
	"time"
)

// TestLifetime is RFC 9111, section 4.2.1, for a shared cache without heuristics.
func TestLifetime(t *testing.T) {
	const never = 1 << 31
	for _, test := range []struct {
		response string
		seconds  int
	}{
		{"", 0}, // no heuristic, section 4.2.2
		{"Last-Modified: Thu, 01 Jan 2015 00:00:00 GMT", 0},

		// The first that applies of s-maxage, max-age, Expires.
		{"Cache-Control: max-age=60", 60},
		{"Cache-Control: max-age=60, s-maxage=10", 10},
		{"Cache-Control: s-maxage=60, max-age=10", 60},
		{"Cache-Control: max-age=60; Expires: " + date(10), 60},
		{"Cache-Control: max-age=60; Expires: 0", 60},
		{"Cache-Control: max-age=0; Expires: " + date(10), 0},
		{"Expires: " + date(10), 10},
		{"Expires: " + date(10) + "; Date: " + date(-5), 15},
		{"Expires: " + date(10) + "; Date: yesterday", 10},
		{"Expires: " + date(-10), 0},
		{"Expires: " + date(10) + "; Date: " + date(20), 0},
		{"Expires: Fri, 31 Dec 9999 23:59:59 GMT", never}, // as some frameworks say it
		{"Expires: Fri, 31 Dec 9999 23:59:59 GMT; Date: Mon, 01 Jan 0001 00:00:00 GMT", never},

		// Directives, section 5.2: names in any case, unknown ones ignored, both forms of arguments.
		{"Cache-Control: MAX-Age=60", 60},
		{"Cache-Control: x, max-age=60, y=1, z=\"a, b\"", 60},
		{"Cache-Control: x; Cache-Control: max-age=60", 60},
		{`Cache-Control: max-age="60"`, 60},
		{`Cache-Control: max-age="6\0"`, 60},
		{"Cache-Control: max-age=0060", 60},
		{`Cache-Control: x="max-age=60", max-age=1`, 1},
		{`Cache-Control: x="\", max-age=60", max-age=1`, 1},
		{"Cache-Control: ,, max-age=60 ,", 60},

		// "If a cache receives a value greater than the greatest integer it can represent", section 1.2.2.
		{"Cache-Control: max-age=2147483647", 1<<31 - 1},
		{"Cache-Control: max-age=2147483648", never},
		{"Cache-Control: max-age=99999999999999999999999999", never},

		// Invalid freshness information: stale, section 4.2.1. It does not fall back to the next source.
		{"Cache-Control: max-age", 0},
		{"Cache-Control: max-age=", 0},
		{"Cache-Control: max-age=-60", 0},
		{"Cache-Control: max-age=60.0", 0},
		{"Cache-Control: max-age=60a", 0},
		{"Cache-Control: max-age='60'", 0},
		{"Cache-Control: max-age =60", 0},
		{"Cache-Control: max-age= 60", 0},
		{"Cache-Control: max-age=60 s", 0},
		{`Cache-Control: max-age="60`, 0},
		{`Cache-Control: max-age="60"0`, 0},
		{"Cache-Control: max-age=x; Expires: " + date(10), 0},
		{"Cache-Control: s-maxage=x, max-age=60", 0},

		// The same directive twice: the same value, or stale.
		{"Cache-Control: max-age=60, max-age=60", 60},
		{"Cache-Control: max-age=60, max-age=1", 0},
		{"Cache-Control: max-age=1; Cache-Control: max-age=60", 0},
		{"Expires: " + date(10) + "; Expires: " + date(10), 0},

		// A quote without its end does not hide the directives after it.
		{`Cache-Control: x="a, max-age=60`, 60},
	} {
		if got, want := ok(test.response).Lifetime(), time.Duration(test.seconds)*time.Second; got != want {
			t.Errorf("%s\n lifetime %v, want %v", test.response, got, want)
		}
	}
}

// TestExpires is the syntax of HTTP-date, RFC 9110, section 5.6.7. Invalid dates are in the past (RFC 9111, section
// 5.3).
func TestExpires(t *testing.T) {
	for _, test := range []struct {
		expires string
		isValid bool
	}{
		{"Thu, 18 Aug 2050 02:01:18 GMT", true},
		{"Thursday, 18-Aug-50 02:01:18 GMT", true}, // obsolete, RFC 850
		{"Thu Aug 18 02:01:18 2050", true},         // obsolete, asctime
		{"Thu Aug  8 02:01:18 2050", true},
		{"Sun, 21 Nov 2286 04:46:39 GMT", true},
		{"THU, 18 AUG 2050 02:01:18 gMT", true}, // dates are case-sensitive, but caches are not
		{"Mon, 18 Aug 2050 02:01:18 GMT", true}, // a Thursday

		{"", false},
		{"0", false},
		{"GMT", false},
		{"Thu, 18 Aug 2050 02:01:18 UTC", false},
		{"Thu, 18 Aug 2050 02:01:18 AEST", false},
		{"Thursday, 18-Aug-50 02:01:18 AEST", false},
		{"Thu, 18 Aug 50 02:01:18 GMT", false},
		{"Thu 18 Aug 2050 02:01:18 GMT", false},
		{"Thu, 18  Aug  2050 02:01:18 GMT", false},
		{"Thu, 18-Aug-2050 02:01:18 GMT", false},
		{"Thu, 18 Aug 2050 02.01.18 GMT", false},
		{"Thu, 18 Aug 2050 2:01:18 GMT", false},
		{"Thu, 18 Aug 2050 02:01:18.5 GMT", false},
		{"Thu, 31 Feb 2050 02:01:18 GMT", false},
	} {
		if got := ok("Expires: "+test.expires).Lifetime() > 0; got != test.isValid {
			t.Errorf("%q: fresh %t, want %t", test.expires, got, test.isValid)
		}
	}
}

// TestAge is RFC 9111, sections 4.2.3 and 5.1.
func TestAge(t *testing.T) {
	for _, test := range []struct {
		requested, received, now int
		response                 string
		seconds                  int
	}{
		{0, 0, 0, "", 0},
		{0, 0, 5, "", 5},
		{0, 2, 5, "", 5},                    // the delay of the response counts
		{0, 0, 5, "Date: " + date(-10), 15}, // apparent age
		{0, 0, 5, "Date: " + date(10), 5},   // the origin's clock is ahead
		{0, 0, 5, "Date: tomorrow", 5},      // as without it
		{0, 0, 5, "Age: 30", 35},            // an upstream cache
		{0, 2, 5, "Age: 30", 35},            //
		{0, 2, 5, "Age: 30; Date: " + date(-100), 105},
		{0, 2, 5, "Age: 30; Date: " + date(-10), 35},
		{0, 0, 5, "Age: 30, 0", 35},             // of a list, the first member
		{0, 0, 5, "Age: 0, 30", 5},              //
		{0, 0, 5, "Age: 30; Age: 0", 35},        //
		{0, 0, 5, "Age: old", 5},                // invalid ones are ignored
		{0, 0, 5, "Age: -30", 5},                //
		{0, 0, 5, "Age: 30.0", 5},               //
		{0, 0, 5, "Age: 30;a=b", 5},             //
		{0, 0, 5, "Age: 2147483649", 1<<31 + 5}, //
		{0, 0, 5, "Date: Mon, 01 Jan 0001 00:00:00 GMT", 1<<31 + 5},
		{0, 5, 3, "Date: " + date(5), 5}, // the clock of another instance is ahead
		{5, 3, 5, "", 2},                 // the clock was set back
	} {
		r := exchange(test.requested, test.received, "{}", test.response)
		if got, want := r.Age(at(test.now)), time.Duration(test.seconds)*time.Second; got != want {
			t.Errorf("%s\n age %v, want %v", fmt.Sprint(test), got, want)
		}
	}
}
