package httpcache_test

import (
	"net/http"
	"strings"
	"time"

	"weft/enrich/httpcache"
)

// start is when the requests of the tests are sent.
var start = time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// date returns the value of a date field.
func date(seconds int) string { return at(seconds).Format(http.TimeFormat) }

// fields parses header lines, separated by "; " for readable tables.
func fields(lines string) http.Header {
	h := http.Header{}
	for line := range strings.SplitSeq(lines, "; ") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			h.Add(name, value)
		}
	}
	return h
}

// get returns a GET request with the header lines.
func get(lines string) httpcache.Request {
	return httpcache.Request{Method: http.MethodGet, Header: fields(lines)}
}

// ok returns a response with status 200 to a request that was sent at start. It took no time.
func ok(lines string) httpcache.Response { return exchange(0, 0, "{}", lines) }

// exchange returns a response with status 200 to a request that was sent and answered at the given seconds.
func exchange(requested, received int, body, lines string) httpcache.Response {
	return httpcache.Response{
		Status: http.StatusOK, Header: fields(lines), Body: []byte(body),
		Requested: at(requested), Received: at(received),
	}
}
