package httpcache

import (
	"bytes"
	"maps"
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

	// exchangeTime is how long an exchange with the origin takes at most. Since is kept for at least that time.
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

const tooEarly = "the resource may have changed since the request"

// Update returns e after resp, a final response to a GET request, was received, and why resp is not kept; "" if it is.
// isParty is as for Keep. After a 304, resp is what Freshen returned.
//
// Because exchanges overlap, responses do not always arrive in the order in which the origin read its data. Update
// keeps no response that may be older than another one that was kept:
//   - A response replaces one that was received before its request was sent, and one with the same body.
//   - If two exchanges overlapped and the bodies differ, neither response is kept. Date (section 4) does not decide: it
//     has seconds only, and says when the header was made, not when the data was read.
//   - If Date contradicts the order of the exchanges, neither is kept.
//   - A response that may not be kept, but differs from the kept one, removes that. No response to an earlier request
//     is kept after it.
func (e Entry) Update(req Request, resp Response, isParty bool) (updated Entry, why string) {
	kept, why := Keep(req, resp, isParty)
	if why != "" && !isAboutResource(req, resp, isParty) {
		return e, why
	}
	if why == "" && resp.Requested.Before(e.Since) {
		why = tooEarly
	}
	mayBeKept, isOutdated := why == "", why == tooEarly
	updated.Since = e.Since
	for _, r := range e.Responses {
		isSame := resp.Status == r.Status && bytes.Equal(resp.Body, r.Body)
		switch {
		case !r.Matches(req) && (!mayBeKept || !r.sharesRequests(kept)), isSame && !mayBeKept:
			updated.Responses = append(updated.Responses, r)
			isOutdated = isOutdated || r.Matches(req)
		case !r.Requested.Before(resp.Received):
			isOutdated = true
			why = "a later response is kept"
			updated.Responses = append(updated.Responses, r)
		case isSame, !resp.Requested.Before(r.Received) && !resp.Date().Before(r.Date()): // replaced
			if !maps.EqualFunc(r.Vary, kept.Vary, slices.Equal) {
				updated.Since = latest(updated.Since, r.Received) // for requests that do not match resp
			}
		case resp.Requested.Before(r.Received):
			why = "an overlapping request had another response"
			updated.Since = latest(updated.Since, r.Received)
		default:
			why = "the date is before that of the last response"
		}
	}
	if why != "" {
		if !isOutdated || len(updated.Responses) < len(e.Responses) {
			updated.Since = latest(updated.Since, resp.Received)
		}
		return updated, why
	}
	updated.Responses = slices.Insert(updated.Responses, 0, kept)
	if n := len(updated.Responses); n > maxVariants {
		// What was removed may be newer than the responses to requests before.
		updated.Since = latest(updated.Since, updated.Responses[n-1].Received)
		updated.Responses = updated.Responses[:n-1]
	}
	return updated, ""
}

// Invalidate returns e after a response was received that Invalidates what is kept (RFC 9111, section 4.4). Responses
// to requests sent before received are not kept either, because the origin may have read the data before the change.
func (e Entry) Invalidate(received time.Time) Entry { return Entry{Since: latest(e.Since, received)} }

// Outdate returns e after a request that may have changed the resource, but whose outcome is not known at the time now:
// what is kept is not fresh any more, but may stand in.
func (e Entry) Outdate(now time.Time) Entry {
	e.Since, e.Responses = latest(e.Since, now), slices.Clone(e.Responses)
	for i := range e.Responses {
		e.Responses[i].IsOutdated = true
	}
	return e
}

// ReceivedSince returns e without what was received before t.
func (e Entry) ReceivedSince(t time.Time) Entry {
	recent := Entry{Since: e.Since}
	for _, r := range e.Responses {
		if r.Received.Before(t) {
			recent.Since = latest(recent.Since, r.Received) // responses to requests before may be older than this one
		} else {
			recent.Responses = append(recent.Responses, r)
		}
	}
	if len(recent.Responses) == 0 && recent.Since.Before(t) {
		return Entry{}
	}
	return recent
}

// TTL returns how long e must be kept; at most 0 if it is of no use. limit is as for StandsIn. Since is kept for at
// least that time, because another store may still have an earlier response.
func (e Entry) TTL(now time.Time, limit time.Duration) time.Duration {
	ttl := e.Since.Add(max(exchangeTime, limit)).Sub(now)
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

// Matters reports whether Update can change an Entry.
func Matters(req Request, resp Response, isParty bool) bool {
	_, why := Keep(req, resp, isParty)
	return why == "" || isAboutResource(req, resp, isParty)
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
