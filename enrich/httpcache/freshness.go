package httpcache

import (
	"net/http"
	"strings"
	"time"
)

// Age returns how long ago the origin generated or confirmed r (RFC 9111, section 4.2.3).
func (r Response) Age(now time.Time) time.Duration {
	apparent := bounded(r.Received.Sub(r.Date()))
	corrected := ageValue(r.Header) + max(0, r.Received.Sub(r.Requested))
	resident := max(0, now.Sub(r.Received)) // not negative if the clock of another instance is ahead
	return max(apparent, corrected) + resident
}

// Lifetime returns how long r is fresh (RFC 9111, section 4.2.1). Without explicit information it is 0; there is no
// heuristic.
func (r Response) Lifetime() time.Duration {
	cc := parseDirectives(r.Header["Cache-Control"])
	if seconds, ok := cc.seconds("s-maxage"); ok {
		return seconds
	}
	if seconds, ok := cc.seconds("max-age"); ok {
		return seconds
	}
	// "Either the first occurrence should be used or the response should be considered stale."
	if lines := r.Header["Expires"]; len(lines) == 1 {
		if expires, ok := parseTime(lines[0]); ok {
			return bounded(expires.Sub(r.Date()))
		}
	}
	return 0
}

// bounded returns d between 0 and maxSeconds. Frameworks send the years 1 and 9999 for dates that are not known, with
// which a sum of durations would overflow.
func bounded(d time.Duration) time.Duration { return min(max(0, d), maxSeconds*time.Second) }

// Date returns when the origin generated r. Without a valid Date field it is when r was received (RFC 9110, section
// 6.6.1).
func (r Response) Date() time.Time {
	if date, ok := parseTime(r.Header.Get("Date")); ok {
		return date
	}
	return r.Received
}

// ageValue returns the value of the Age field; 0 if it is invalid. Of a list, the first member counts (RFC 9111,
// section 5.1).
func ageValue(h http.Header) time.Duration {
	first, _, _ := strings.Cut(h.Get("Age"), ",")
	age, _ := parseSeconds(strings.Trim(first, " \t"))
	return age
}

// parseTime parses an HTTP-date (RFC 9110, section 5.6.7). It is stricter than http.ParseTime about spaces, digits and
// zones, because an invalid Expires must not make a response fresh. Like most caches it ignores case.
func parseTime(s string) (time.Time, bool) {
	if i := len(s) - len("GMT"); i > 0 && strings.EqualFold(s[i:], "GMT") {
		s = s[:i] + "GMT"
	}
	for _, layout := range []string{http.TimeFormat, "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		_, given, _ := strings.Cut(s, " ")
		_, exact, _ := strings.Cut(t.Format(layout), " ")
		return t, strings.EqualFold(given, exact)
	}
	return time.Time{}, false
}
