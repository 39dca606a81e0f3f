// Package defaults has the defaults of what a rules file says about Envoy. They are not in package envoy so that
// internal/rulesfile, which checks them, need not import it.
package defaults

import "time"

const (
	// RouteTimeout is how long the legacy service may take for its whole response, including retries.
	RouteTimeout = 3 * time.Second
	// MessageTimeout is how long Envoy waits for each reply of weft.
	MessageTimeout = time.Second
	// Retries is how often a GET is retried if the legacy service fails.
	Retries = 1
)
