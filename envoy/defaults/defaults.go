// Package defaults has the defaults of what a rules file says about Envoy. They are not in package envoy so that
// internal/rulesfile, which checks them, need not import it.
package defaults

import "time"

const (
	// RouteTimeout is how long the legacy service may take for its whole response, including retries.
	RouteTimeout = 3 * time.Second
	// MessageTimeout is how long Envoy waits for each reply of weft.
	MessageTimeout = time.Second
	// Retries is how often a request is retried.
	Retries = 1
	// LegacyIdleTimeout is how long Envoy keeps an idle connection to the legacy service. It is less than the shortest
	// common keep-alive timeout of HTTP servers, the 5 seconds of Node.js, uvicorn and Apache: a request on a connection
	// that the service is closing is lost.
	LegacyIdleTimeout = 4 * time.Second
)

// Budget returns the part of a message timeout that weft may wait for MongoDB once the core is there. A tenth is left for the
// way to weft and back.
func Budget(messageTimeout time.Duration) time.Duration { return messageTimeout - messageTimeout/10 }
