package httpcache_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"weft/enrich/httpcache"
)

// TestNeverOlder sends overlapping requests for the variants of a resource that changes, in random order, and applies
// their responses. What an entry then has for a request is never older than a response before it, nor than a change
// that invalidated the entry. A response that is known to be outdated when it arrives does not count.
func TestNeverOlder(t *testing.T) {
	var sum struct{ kept, same, overlapped, late, invalidated, variants int }
	for seed := range uint64(5_000) {
		random := rand.New(rand.NewPCG(seed, 0))
		exchanges := randomExchanges(random)
		var e httpcache.Entry
		oldest := map[string]int{} // by request: the version that may be shown at least
		for _, x := range exchanges {
			before := e
			why := "invalidated"
			if x.isWrite {
				e = e.Invalidate(x.resp.Received)
				for _, request := range variants {
					oldest[request] = x.version
				}
				sum.invalidated++
			} else {
				e, why = update(e, x.request, x.resp)
				if why != "a later response is kept" && why != "the resource may have changed since the request" ||
					len(e.Responses) < len(before.Responses) {
					oldest[x.request] = max(oldest[x.request], x.version)
				}
			}
			check(t, e, oldest)
			if t.Failed() {
				t.Fatalf("seed %d, after %v: %q\nbefore: %+v\nafter: %+v", seed, x, why, before, e)
			}
			switch {
			case why == "" && len(before.Responses) > 0 && bodies(e) == bodies(before):
				sum.same++
			case why == "":
				sum.kept++
			case why == "an overlapping request had another response":
				sum.overlapped++
			case why == "the resource may have changed since the request":
				sum.late++
			}
			sum.variants = max(sum.variants, len(e.Responses))
		}
	}
	t.Logf("%+v", sum)
	if min(sum.kept, sum.same, sum.overlapped, sum.late, sum.invalidated) < 1_000 || sum.variants != 4 {
		t.Errorf("too few of a kind: %+v", sum)
	}
}

// variants are header lines of requests.
var variants = []string{"A: 1", "A: 2", "A: 3", "A: 4", "A: 5", "A: 6", "A: 6; B: 1"}

// randomExchange is a request, the version of the resource that the origin read or wrote for it, and the response.
type randomExchange struct {
	isWrite bool
	request string
	version int
	resp    httpcache.Response
}

func (x randomExchange) String() string {
	return fmt.Sprintf("%s %s (%v to %v)", x.request, x.resp.Body, x.resp.Requested.Sub(start), x.resp.Received.Sub(start))
}

// randomExchanges returns exchanges in the order in which they are applied to an entry, about that in which their
// responses arrive. The origin reads or writes at some time within each exchange. Each version of the resource has
// another body.
func randomExchanges(random *rand.Rand) []randomExchange {
	type planned struct {
		randomExchange
		requested, done, received, applied int
	}
	exchanges := make([]planned, 30)
	isSlow, duration := random.IntN(2) == 0, 20+random.IntN(200)
	for i := range exchanges {
		x := &exchanges[i]
		x.isWrite = random.IntN(8) == 0
		x.requested = random.IntN(duration)
		x.done = x.requested + random.IntN(5)
		x.received = x.done + 1
		if isSlow {
			x.received += random.IntN(30)
		}
		x.applied = x.received + random.IntN(10)
		x.request = variants[random.IntN(len(variants))]
	}
	slices.SortStableFunc(exchanges, func(a, b planned) int { return cmp.Compare(a.done, b.done) })
	version := 1
	for i := range exchanges {
		x := &exchanges[i]
		if x.isWrite || random.IntN(5) == 0 { // another client of the origin writes too
			version++
		}
		x.version = version
		lines := []string{"", "Vary: a, b", "Vary: b", "Cache-Control: no-store", "Vary: a"}[min(random.IntN(10), 4)]
		x.resp = exchange(x.requested, x.received, fmt.Sprint("version ", version), lines)
		x.resp.Header.Set("Date", date(x.done))
	}
	slices.SortStableFunc(exchanges, func(a, b planned) int { return cmp.Compare(a.applied, b.applied) })
	var result []randomExchange
	for _, x := range exchanges {
		result = append(result, x.randomExchange)
	}
	return result
}

func check(t *testing.T, e httpcache.Entry, oldest map[string]int) {
	if len(e.Responses) > 4 {
		t.Errorf("%d responses", len(e.Responses))
	}
	for _, request := range variants {
		matching := 0
		for _, r := range e.Responses {
			if r.Matches(get(request)) {
				matching++
				var version int
				if fmt.Sscanf(string(r.Body), "version %d", &version); version < oldest[request] {
					t.Errorf("%s: version %d after %d", request, version, oldest[request])
				}
			}
		}
		if matching > 1 {
			t.Errorf("%s: %d responses match", request, matching)
		}
	}
}
