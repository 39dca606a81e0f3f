package observe

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weft/enrich/cache"
)

func TestCacheMetrics(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	list := []cache.Stats{{
		Database: "d", Collection: "c", Hits: 1, Misses: 2, Bypassed: 3, Stale: 4, Changes: 5,
		Entries: 6, Bytes: 7, Follows: true,
	}}
	Cache(r, func() []cache.Stats { return list })
	const want = `
# HELP weft_cache_bytes Approximate memory of the documents in the cache.
# TYPE weft_cache_bytes gauge
weft_cache_bytes{collection="c",database="d"} 7
# HELP weft_cache_entries Documents in the cache, also that none exists.
# TYPE weft_cache_entries gauge
weft_cache_entries{collection="c",database="d"} 6
# HELP weft_cache_follows_changes 1 while a change stream reports changes; otherwise 0.
# TYPE weft_cache_follows_changes gauge
weft_cache_follows_changes{collection="c",database="d"} 1
# HELP weft_cache_invalidations_total Changes that the change stream reported.
# TYPE weft_cache_invalidations_total counter
weft_cache_invalidations_total{collection="c",database="d"} 5
# HELP weft_cache_reads_total Keys read with a cache, by result: hit, miss, or bypassed while changes are unknown.
# TYPE weft_cache_reads_total counter
weft_cache_reads_total{collection="c",database="d",result="bypassed"} 3
weft_cache_reads_total{collection="c",database="d",result="hit"} 1
weft_cache_reads_total{collection="c",database="d",result="miss"} 2
# HELP weft_cache_stale_total Keys with an older document because MongoDB failed (stale_if_error).
# TYPE weft_cache_stale_total counter
weft_cache_stale_total{collection="c",database="d"} 4
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	list = nil // no rule has a cache
	if n, err := testutil.GatherAndCount(r); err != nil || n != 0 {
		t.Errorf("%d metrics, %v", n, err)
	}
}
