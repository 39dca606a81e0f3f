// Package defaults has the default values of the Envoy settings in a rules file. They are not in package envoy so that
// internal/rulesfile, which validates them, does not import it.
package defaults

import "time"

const (
	// RouteTimeout is the timeout for the complete response of the legacy service, including retries.
	RouteTimeout = 3 * time.Second
	// MessageTimeout is how long Envoy waits for each reply of weft.
	MessageTimeout = time.Second
	// Retries is the maximum number of retries of a request.
	Retries = 1
	// LegacyIdleTimeout is how long Envoy keeps an idle connection to the legacy service. It is less than the shortest
	// common keep-alive timeout of HTTP servers, the 5 seconds of Node.js, uvicorn and Apache: a request on a connection
	// that the service is closing is lost.
	LegacyIdleTimeout = 4 * time.Second
)

// Budget returns the part of a message timeout that weft may wait for MongoDB once the core has arrived. A tenth is
// left for the round trip between Envoy and weft.
func Budget(messageTimeout time.Duration) time.Duration { return messageTimeout - messageTimeout/10 }
