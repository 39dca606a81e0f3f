package cachetests

// excluded says why cases, or all of a suite, are not run.
var excluded = map[string]string{
	"cdn-cache-control": "RFC 9213 is for content delivery networks",
}

// reasons says why required cases fail.
var reasons = map[string]string{
	"headers-store-Set-Cookie":        "a cookie is for one client, so that it is never kept",
	"headers-store-Set-Cookie2":       "a cookie is for one client, so that it is never kept",
	"headers-store-Transfer-Encoding": "setup: the response is not valid HTTP, so that the proxy answers 502",
}
