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

	// IsOutdated says that the resource may have changed since. Outdate sets it.
	IsOutdated bool
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
	age := r.Age(now)
	left := r.Lifetime() - age
	limit := time.Duration(-1)
	if maxStale, ok := asked.maxStale(); ok {
		limit = maxStale
	}
	if maxAge, ok := asked.seconds("max-age"); ok && age > maxAge { // section 5.2.1.1
		return Validate
	}
	if minFresh, ok := asked.seconds("min-fresh"); ok && left < minFresh { // section 5.2.1.3
		return Validate
	}
	if r.IsOutdated || asked.has("no-cache") || !isUsable(cc, left, limit) { // sections 5.2.1.4, 5.4
		return Validate
	}
	return Fresh
}

// StandsIn reports whether r may be used for req at the time now because the origin fails (RFC 5861, section 4). limit
// is how long after its freshness lifetime a response may be used; stale-if-error, of the response or the request,
// shortens it. With no-cache or max-age, a client only prefers a newer response (RFC 9111, section 5.2.1), which does
// not exist: browsers send them if a user reloads a page.
func (r Response) StandsIn(req Request, now time.Time, limit time.Duration) bool {
	cc, asked := parseDirectives(r.Header["Cache-Control"]), requestDirectives(req.Header)
	for _, d := range []directives{cc, asked} {
		if seconds, ok := d.seconds("stale-if-error"); ok {
			limit = min(limit, seconds)
		}
	}
	return r.suits(req) && isUsable(cc, r.Lifetime()-r.Age(now), limit)
}

// suits reports whether r is a response to req, at whatever age.
func (r Response) suits(req Request) bool {
	return req.Method == http.MethodGet && r.Matches(req) && (!req.HasCredentials || r.allowsCredentials())
}

// isUsable reports whether a response with the directives cc may be used without validation. left is the rest of its
// freshness lifetime, negative after it; at its end a response is stale (section 4.2). limit is how long a stale one
// may be used, if cc does not forbid it; negative: not at all.
func isUsable(cc directives, left, limit time.Duration) bool {
	return !cc.hasUnqualified("no-cache") && (left > 0 || -left <= limit && !cc.forbidsStale()) // section 5.2.2.4
}

// Invalidates reports whether a response to a request makes what is kept of its resource invalid (RFC 9111, section
// 4.4): the method is not known as safe, and the response is no error.
func Invalidates(method string, status int) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return false
	}
	return status >= 200 && status < 400
}
