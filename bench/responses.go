package main

import "strings"

// isComposite reports whether a body has core and extension of the user in a URL.
func isComposite(url, body string) bool {
	core, extension, ok := strings.Cut(body, `,"extension":{"userId":`+userID(url)+",")
	return ok && strings.HasPrefix(core, `{"core":{`) && isCore(url, core[len(`{"core":`):]) &&
		strings.HasSuffix(extension, `},"errors":[]}`)
}

// isCore reports whether a body begins with the legacy user in a URL.
func isCore(url, body string) bool {
	rest, ok := strings.CutPrefix(body, `{"userId":`)
	return ok && strings.HasPrefix(strings.TrimPrefix(rest, " "), userID(url)+",")
}

// userID returns the last segment of a URL's path.
func userID(url string) string {
	path, _, _ := strings.Cut(url, "?")
	return path[strings.LastIndexByte(path, '/')+1:]
}
