package main

import (
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weft/test/harness"
)

// user is a user with the history of core and extension.
type user struct {
	harness.User
	core, extension history
}

// history has the versions of a core or an extension. A version is written after the previous one was acknowledged.
// Version 0 exists from the start.
type history struct {
	mu      sync.Mutex
	newest  int         // the last version, perhaps not yet written
	written []time.Time // the times at which the versions from 1 on were acknowledged
	seen    int         // the newest version in a response to any client
}

// begin returns the next version, which may exist from now on.
func (h *history) begin() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.newest++
	return h.newest
}

// acknowledge records that the last version was written.
func (h *history) acknowledge() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.written = append(h.written, time.Now())
}

// at returns the last version that was acknowledged before a time.
func (h *history) at(t time.Time) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return sort.Search(len(h.written), func(i int) bool { return !h.written[i].Before(t) })
}

// see records a version in a response. It reports whether the version exists.
func (h *history) see(version int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if version > h.newest {
		return false
	}
	h.seen = max(h.seen, version)
	return true
}

func (h *history) newestSeen() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen
}

func (h *history) last() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.newest
}

// A version is a number after a tilde, in the e-mail address of the core and in the tag of the extension. Version 0 has
// none, so responses without versions are those of [harness.User].
func emailOf(id, version int) string { return fmt.Sprintf("user%d~%d@example.com", id, version) }

func tagOf(id, version int) string { return fmt.Sprintf("tag %d~%d", id, version) }

var (
	coreVersion      = regexp.MustCompile(`~(\d+)(@example\.com","createdAt":)`)
	extensionVersion = regexp.MustCompile(`~(\d+)("\],"lastActivityScore":)`)
)

// cutVersion returns the body without the version, and the version.
func cutVersion(body string, pattern *regexp.Regexp) (rest string, version int) {
	found := pattern.FindStringSubmatchIndex(body)
	if found == nil {
		return body, 0
	}
	version, err := strconv.Atoi(body[found[2]:found[3]])
	if err != nil {
		return body, 0 // too large: no kind matches the body
	}
	return body[:found[0]] + body[found[4]:], version
}

// outage is the time during which a process does not respond.
type outage struct{ since atomic.Pointer[time.Time] }

// begin starts the outage. Call it when the process has stopped.
func (o *outage) begin() {
	now := time.Now()
	o.since.Store(&now)
}

// end ends the outage. Call it before the process may respond.
func (o *outage) end() { o.since.Store(nil) }

// known is what a client knows before a request.
type known struct {
	at                    time.Time
	extension             int        // the newest version that any client has seen
	legacyDown, mongoDown *time.Time // the beginning of the outages; nil if there is no outage
}

func (s *system) known(u *user) known {
	return known{
		at: time.Now(), extension: u.extension.newestSeen(),
		legacyDown: s.legacyDown.since.Load(), mongoDown: s.mongoDown.since.Load(),
	}
}

// result describes a response.
type result struct {
	kind            harness.Kind
	isStale         bool // says that core or extension is stale
	core, extension int  // versions; 0 without one
	description     string
}

// check classifies a response.
func (s *system) check(c *client, u *user, before known, a harness.Answer) (r result) {
	r.description = fmt.Sprintf("%.400s", a)
	body, core := cutVersion(a.Body, coreVersion)
	body, extension := cutVersion(body, extensionVersion)
	whole := u.User
	if c.caller != "" {
		whole.Core = strings.TrimSuffix(whole.Core, "}") + `,"caller":"` + c.caller + `"}`
	}
	r.core, r.extension = core, extension
	r.kind = whole.Kind(harness.Answer{Status: a.Status, Body: body})
	isAlone := r.kind == harness.Degraded && body == whole.WithoutCore()
	hasCore := r.kind == harness.Composed || r.kind == harness.Passed || r.kind == harness.Degraded && !isAlone
	hasExtension := r.kind == harness.Composed || isAlone
	isCoreStale := hasCore && strings.Contains(a.Header.Get("X-Weft"), "; core=stale")
	isExtensionStale := hasExtension && strings.Contains(a.Header.Get("X-Weft"), "; extension=stale")
	r.isStale = isCoreStale || isExtensionStale

	why := ""
	switch {
	case r.kind == harness.Wrong:
		why = "another body"
	case r.kind == harness.Passed && c.route != harness.Routes()[0]: // the composite route always has the shape
		why = "another shape"
	case r.isStale && !s.caches:
		why = "stale without a cache"
	case hasCore:
		why = s.checkCore(c, u, before, core, isCoreStale)
	}
	if hasExtension && why == "" {
		why = s.checkExtension(u, before, extension, isExtensionStale)
	}
	if why != "" {
		r.kind, r.description = harness.Wrong, why+": "+r.description
	}
	return r
}

// checkCore returns why a version of the core is wrong, or "".
func (s *system) checkCore(c *client, u *user, before known, version int, isStale bool) string {
	age := s.coreMaxAge(c.route)
	seen := c.seen[u.ID]
	switch {
	case !u.core.see(version):
		return "a core that does not exist"
	case isStale:
		return ""
	case version < seen:
		return fmt.Sprintf("core %d after %d", version, seen)
	case version < u.core.at(before.at.Add(-age)):
		return fmt.Sprintf("core %d, and %d was written %v before", version, u.core.at(before.at.Add(-age)), age)
	case isDown(before.legacyDown, &s.legacyDown) && before.at.Sub(*before.legacyDown) >= age:
		return "a core without a legacy service"
	}
	c.seen[u.ID] = version
	return ""
}

// checkExtension returns why a version of the extension is wrong, or "".
func (s *system) checkExtension(u *user, before known, version int, isStale bool) string {
	delay := s.extensionMaxAge()
	switch {
	case !u.extension.see(version):
		return "an extension that does not exist"
	case isStale:
		return ""
	case version < before.extension:
		return fmt.Sprintf("extension %d after %d", version, before.extension)
	case version < u.extension.at(before.at.Add(-delay)):
		newer := u.extension.at(before.at.Add(-delay))
		return fmt.Sprintf("extension %d, and %d was written %v before", version, newer, delay)
	case isDown(before.mongoDown, &s.mongoDown) && before.at.Sub(*before.mongoDown) >= delay:
		return "an extension without MongoDB"
	}
	return ""
}

// isDown reports whether an outage that had begun before a request has not ended.
func isDown(since *time.Time, o *outage) bool { return since != nil && since == o.since.Load() }
