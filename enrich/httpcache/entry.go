package httpcache

import (
	"bytes"
	"net/http"
	"slices"
	"time"
)

// Entry is what is kept of a resource. The zero Entry is empty. Entries are values: Update and Invalidate return new
// ones.
type Entry struct {
	// Responses are at most maxVariants, the last kept first. At most one of them matches any request.
	Responses []Response

	// Since is the time from which requests must have been sent so that their responses may be kept: earlier ones may
	// be answered with what the resource was before a change.
	Since time.Time
}

const (
	// maxVariants is the number of responses to different request fields that an Entry keeps.
	maxVariants = 4

	// validationTime is how long a stale response with a validator is kept for validation.
	validationTime = time.Hour

	// exchangeTime is how long an exchange with the origin takes at most. Since is kept for that time.
	exchangeTime = 5 * time.Minute
)

// Select returns the response that matches req.
func (e Entry) Select(req Request) (Response, bool) {
	for _, r := range e.Responses {
		if r.Matches(req) {
			return r, true
		}
	}
	return Response{}, false
}

// Update returns e after resp, a final response to a GET request, was received, and why resp is not kept; "" if it is.
// isParty is as for Keep. After a 304, resp is what Freshen returned.
//
// Because exchanges overlap, responses do not always come in the order in which the origin generated them. Update never
// keeps a response of which another one shows that it may be outdated: a response replaces one that was received before
// its request was sent. If two that overlapped in time have different bodies, neither is kept, because Date (section 4)
// has seconds only, and tells when the header was made, not when the data was read.
func (e Entry) Update(req Request, resp Response, isParty bool) (updated Entry, why string) {
	kept, why := Keep(req, resp, isParty)
	if why != "" && !isAboutResource(req, resp, isParty) {
		return e, why
	}
	updated.Since = e.Since
	for _, r := range e.Responses {
		related := r.Matches(req) || why == "" && r.sharesRequests(kept)
		isSame := resp.Status == r.Status && bytes.Equal(resp.Body, r.Body)
		switch {
		case !related:
		case !r.Requested.Before(resp.Received): // resp is the earlier one
			why = "a later response is kept"
		case resp.Requested.Before(r.Received) && !isSame:
			updated.Since = latest(updated.Since, r.Received, resp.Received)
			why = "an overlapping request had another response"
			continue
		case resp.Date().Before(r.Date()):
			if !isSame {
				why = "the response before has a later date"
				continue
			}
			why = "the same response with a later date is kept"
		case why == "":
			continue // replaced
		case !isSame:
			updated.Since = latest(updated.Since, resp.Received)
			continue // replaced by a response that may not be kept
		}
		updated.Responses = append(updated.Responses, r)
	}
	if why == "" && resp.Requested.Before(e.Since) {
		why = "the resource may have changed since the request"
	}
	if why != "" {
		return updated, why
	}
	updated.Responses = slices.Insert(updated.Responses, 0, kept)
	if n := len(updated.Responses); n > maxVariants {
		updated.Since = latest(updated.Since, updated.Responses[n-1].Received)
		updated.Responses = updated.Responses[:n-1]
	}
	return updated, ""
}

// Invalidate returns e after a response was received that Invalidates what is kept (RFC 9111, section 4.4). Responses
// to requests sent before received are not kept either, because the origin may have read the data before the change.
func (e Entry) Invalidate(received time.Time) Entry { return Entry{Since: latest(e.Since, received)} }

// TTL returns how long e must be kept; at most 0 if it is of no use. limit is as for StandsIn.
func (e Entry) TTL(now time.Time, limit time.Duration) time.Duration {
	ttl := e.Since.Add(exchangeTime).Sub(now)
	for _, r := range e.Responses {
		after := limit
		if parseDirectives(r.Header["Cache-Control"]).forbidsStale() {
			after = 0
		}
		if len(r.Conditions()) > 0 {
			after = max(after, validationTime)
		}
		ttl = max(ttl, r.Lifetime()-r.Age(now)+after)
	}
	return ttl
}

// sharesRequests reports whether there are requests that r and other match.
func (r Response) sharesRequests(other Response) bool {
	for name, values := range r.Vary {
		if others, ok := other.Vary[name]; ok && !slices.Equal(values, others) {
			return false
		}
	}
	return true
}

// isAboutResource reports whether a response that may not be kept tells something about what is kept. Failures do not,
// nor does the response to a caller whose credentials do not count for others.
func isAboutResource(req Request, resp Response, isParty bool) bool {
	switch resp.Status {
	case http.StatusNotModified, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	case http.StatusOK, http.StatusUnauthorized, http.StatusForbidden:
		if req.HasCredentials && !isParty && !resp.allowsCredentials() {
			return false
		}
	}
	return req.Method == http.MethodGet && resp.Status >= 200 && resp.Status < 500
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }
