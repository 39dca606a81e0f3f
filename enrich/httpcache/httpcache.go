// Package httpcache says what a shared HTTP cache may keep and use: RFC 9111 (HTTP Caching), RFC 5861 (stale-if-error)
// and the validators of RFC 9110. Its functions are pure: they know no clock, no store and no proxy.
//
// A [Response] is kept in the [Entry] of its resource. [Entry.Update] applies what an exchange showed, [Entry.Select]
// finds the response for a request, and [Response.Use] says whether it may be used as it is.
package httpcache

import (
	"net/http"
	"time"
)

// Request is the request of a client, as far as it matters for caching. Header's names are in canonical format, as
// those of all headers in this package.
type Request struct {
	Method string
	Header http.Header

	// HasCredentials says that the request identifies its caller, for example with Authorization or Cookie.
	HasCredentials bool

	// Hidden reports whether the value of a field is not known although the request may have it; nil: none is. A
	// response that depends on such a field is neither kept nor used.
	Hidden func(name string) bool
}

// Response is a response of the origin.
type Response struct {
	Status int
	Header http.Header
	Body   []byte

	// Requested is when the request was sent to the origin, Received is when the response's headers came.
	Requested, Received time.Time

	// Vary has the request fields that the response depends on, with a nil value if the request had none. Keep and
	// Freshen set it.
	Vary http.Header

	// IsParty says that the response was kept for one caller. Keep and Freshen set it.
	IsParty bool
}

// Use says how a response may be used for a request.
type Use int

const (
	// No means that the response must not be used, not even for validation.
	No Use = iota
	// Validate means that the response may be used if the origin confirms it with 304.
	Validate
	// Fresh means that the response may be used without asking the origin.
	Fresh
)

// Use returns how r may be used for req at the time now (RFC 9111, section 4).
func (r Response) Use(req Request, now time.Time) Use {
	if !r.suits(req) {
		return No
	}
	cc, asked := parseDirectives(r.Header["Cache-Control"]), requestDirectives(req.Header)
	limit := time.Duration(-1)
	if maxStale, ok := asked.maxStale(); ok {
		limit = maxStale
	}
	if r.satisfies(cc, asked, now, limit) {
		return Fresh
	}
	return Validate
}

// StandsIn reports whether r may be used for req at the time now because the origin fails (RFC 5861, section 4). limit
// is how long after its freshness lifetime a response may be used. stale-if-error, of the response or the request, and
// max-stale shorten it. What else the request asks for holds too: with no-cache or max-age=0, r does not stand in.
func (r Response) StandsIn(req Request, now time.Time, limit time.Duration) bool {
	cc, asked := parseDirectives(r.Header["Cache-Control"]), requestDirectives(req.Header)
	for _, d := range []directives{cc, asked} {
		if seconds, ok := d.seconds("stale-if-error"); ok {
			limit = min(limit, seconds)
		}
	}
	if maxStale, ok := asked.maxStale(); ok {
		limit = min(limit, maxStale)
	}
	return r.suits(req) && r.satisfies(cc, asked, now, limit)
}

// suits reports whether r is a response to req, at whatever age.
func (r Response) suits(req Request) bool {
	return req.Method == http.MethodGet && r.Matches(req) && (!req.HasCredentials || r.allowsCredentials())
}

// satisfies reports whether r, with the directives cc, may be used for a request with the directives asked. limit is
// how long a stale response may be used, if r does not forbid it; negative: not at all.
func (r Response) satisfies(cc, asked directives, now time.Time, limit time.Duration) bool {
	if cc.hasUnqualified("no-cache") || asked.has("no-cache") { // sections 5.2.2.4, 5.2.1.4, 5.4
		return false
	}
	age := r.Age(now)
	if maxAge, ok := asked.seconds("max-age"); ok && age > maxAge { // section 5.2.1.1
		return false
	}
	left := r.Lifetime() - age
	if minFresh, ok := asked.seconds("min-fresh"); ok && left < minFresh { // section 5.2.1.3
		return false
	}
	// If age and lifetime are equal, r is stale (section 4.2).
	return left > 0 || -left <= limit && !cc.forbidsStale()
}

// OnlyIfCached reports whether req must be answered with 504 (Gateway Timeout) if no response may be used for it
// (RFC 9111, section 5.2.1.7).
func OnlyIfCached(req Request) bool { return requestDirectives(req.Header).has("only-if-cached") }

// Invalidates reports whether a response to a request makes what is kept of its resource invalid (RFC 9111, section
// 4.4): the method is not known as safe, and the response is no error.
func Invalidates(method string, status int) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return false
	}
	return status >= 200 && status < 400
}
