package enrich

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestStaleExtension: an answer with an older copy is complete, says so, and must not be cached.
func TestStaleExtension(t *testing.T) {
	rule := UserProfile()[0]
	core, _ := rule.ParseCore([]byte(user7), "")
	user8, _ := rule.ParseCore([]byte(`{"userId":8,"username":"u","email":"e","createdAt":"c"}`), "")
	stale := Extension{JSON: []byte(`{"tags":[]}`), Stale: errors.New("no reachable servers")}
	late := Extension{JSON: []byte(`{"tags":[]}`), Stale: context.DeadlineExceeded}
	for _, test := range []struct {
		name string
		core Core
		ext  Extension
		want string // x-weft, body
	}{
		{
			"MongoDB fails", core, stale,
			`degraded; reason=extension-failed; extension=stale {"core":` + user7 + `,"extension":{"tags":[]},"errors":[]}`,
		},
		{
			"MongoDB is late", core, late,
			`degraded; reason=extension-timeout; extension=stale {"core":` + user7 + `,"extension":{"tags":[]},"errors":[]}`,
		},
		{
			"no core", FailedCore(LegacyError), stale,
			`degraded; reason=legacy-error+extension-failed; extension=stale ` +
				`{"core":null,"extension":{"tags":[]},"errors":["Failed to fetch core user profile."]}`,
		},
		{
			"another one's core", user8, stale,
			`degraded; reason=key-mismatch {"core":` + string(user8.JSON) +
				`,"extension":null,"errors":["Failed to fetch extended user profile."]}`,
		},
	} {
		params := []Value{{Type: Int64, Int: 7}}
		found := Found{bySource: [][]Extension{{test.ext}}}
		a := rule.Compose(params, test.core, found, 1<<20)
		if got := fmt.Sprintf("%s %s", a.Outcome, a.Body); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.name, got, test.want)
		}
		if a.Outcome.Stale && a.Err == nil || a.ETag != "" {
			t.Errorf("%s: entity tag %q, error %v", test.name, a.ETag, a.Err)
		}
		if test.core.Failed != "" {
			continue
		}
		_, outcome, _ := rule.StreamSuffix(params, test.core, found)
		if outcome.Disposition = Degraded; outcome != a.Outcome {
			t.Errorf("%s: %s if it is streamed, want %s", test.name, outcome, a.Outcome)
		}
	}
}

// standIn is a Store that never reads, and returns older copies when its context ends.
type standIn struct{}

func (standIn) Find(ctx context.Context, _ *Source, keys []Key) []Extension {
	<-ctx.Done()
	time.Sleep(time.Millisecond) // Await must wait for it
	found := failAll(len(keys), nil)
	for i := range found {
		found[i] = Extension{JSON: []byte(`{}`), Cache: CacheStale, Stale: context.Cause(ctx)}
	}
	return found
}

// TestAwaitWaitsForAnOlderCopy: when the budget is used up, a source with a cache may return an older copy.
func TestAwaitWaitsForAnOlderCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, policy := range []*CachePolicy{{}, nil} {
			rule, params := readRule()
			rule.Sources[0].Cache = policy
			read := Fetch(t.Context(), standIn{}, rule, params)
			found := read.Await(Core{}, time.Second)
			read.Stop()
			report := Report{Reads: found.Reads}
			ext := found.of(0, 0)
			if isStale := policy != nil; isStale != errors.Is(ext.Stale, context.DeadlineExceeded) ||
				isStale == errors.Is(ext.Err, context.DeadlineExceeded) || isStale != (report.Cache() == CacheStale) {
				t.Errorf("cache %v: %s, error %v, stale %v, status %q", policy, ext.JSON, ext.Err, ext.Stale, report.Cache())
			}
			time.Sleep(time.Second)
		}
	})
}

// TestCacheOfAReport: the status of a report is that of the read that depended most on the database.
func TestCacheOfAReport(t *testing.T) {
	for want, reads := range map[CacheStatus][]CacheStatus{
		"":         {"", ""},
		CacheHit:   {"", CacheHit, "", CacheHit},
		CacheMiss:  {CacheMiss, CacheHit, ""},
		CacheStale: {CacheHit, CacheStale, CacheMiss, CacheHit},
	} {
		var r Report
		for _, status := range reads {
			r.Reads = append(r.Reads, SourceRead{Cache: status})
		}
		if got := r.Cache(); got != want {
			t.Errorf("%q: %q, want %q", reads, got, want)
		}
	}
}
