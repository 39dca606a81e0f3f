package cachetests

import "maps"

// excluded says why cases, or all of a suite, are not run.
var excluded = map[string]string{
	"cdn-cache-control": "RFC 9213 is for content delivery networks",
	"partial":           "ranges apply to the composed answer",

	"conditional-lm":                                  conditions,
	"conditional-304-etag":                            conditions,
	"conditional-etag-precedence":                     conditions,
	"conditional-etag-strong-respond":                 conditions,
	"conditional-etag-weak-respond":                   conditions,
	"conditional-etag-strong-respond-multiple-first":  conditions,
	"conditional-etag-strong-respond-multiple-second": conditions,
	"conditional-etag-strong-respond-multiple-last":   conditions,
}

const conditions = "the client's conditions apply to the composed answer"

// reasons says why required cases fail.
var reasons = map[string]string{
	"headers-store-Set-Cookie":        "a cookie is for one client, so that it is never kept",
	"headers-store-Set-Cookie2":       "a cookie is for one client, so that it is never kept",
	"headers-store-Transfer-Encoding": "setup: the response is not valid HTTP, so that the proxy answers 502",
}

// weftExcluded returns excluded, and cases that are not about JSON objects that weft composes.
func weftExcluded() map[string]string {
	const composed = "the body is another one than the origin's, and so is this field"
	why := map[string]string{
		"304-etag-update-response-Content-Encoding": "the body is not JSON",
		"headers-store-Content-Encoding":            "the body is not JSON",
		"headers-store-Content-Length":              "the body is not JSON",
		"304-etag-update-response-Content-Length":   "the body is not JSON",
		"headers-store-Content-MD5":                 composed,
		"headers-store-Content-Type":                composed,
		"headers-store-ETag":                        composed,
		"invalidate-M-SEARCH":                       "Envoy rejects the method",
	}
	maps.Copy(why, excluded)
	return why
}
