package observe

import (
	"github.com/prometheus/client_golang/prometheus"

	"weft/enrich/cache"
)

// Cache registers metrics of the caches. Each scrape calls stats.
func Cache(r prometheus.Registerer, stats func() []cache.Stats) {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"database", "collection"}, labels...), nil)
	}
	r.MustRegister(cacheCollector{
		stats: stats,
		reads: describe("weft_cache_reads_total",
			"Keys read with a cache, by result: hit, miss, or bypassed while changes are unknown.", "result"),
		stale: describe("weft_cache_stale_total",
			"Keys with an older document because MongoDB failed (stale_if_error)."),
		changes: describe("weft_cache_invalidations_total", "Changes that the change stream reported."),
		entries: describe("weft_cache_entries", "Documents in the cache, also that none exists."),
		size:    describe("weft_cache_bytes", "Approximate memory of the documents in the cache."),
		follows: describe("weft_cache_follows_changes",
			"1 while a change stream reports changes; otherwise 0."),
	})
}

type cacheCollector struct {
	stats                                         func() []cache.Stats
	reads, stale, changes, entries, size, follows *prometheus.Desc
}

// Describe implements [prometheus.Collector].
func (c cacheCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.reads, c.stale, c.changes, c.entries, c.size, c.follows} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (c cacheCollector) Collect(to chan<- prometheus.Metric) {
	for _, s := range c.stats() {
		counter := func(d *prometheus.Desc, value uint64, result ...string) {
			labels := append([]string{s.Database, s.Collection}, result...)
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
		}
		gauge := func(d *prometheus.Desc, value int) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), s.Database, s.Collection)
		}
		counter(c.reads, s.Hits, "hit")
		counter(c.reads, s.Misses, "miss")
		counter(c.reads, s.Bypassed, "bypassed")
		counter(c.stale, s.Stale)
		counter(c.changes, s.Changes)
		gauge(c.entries, s.Entries)
		gauge(c.size, int(s.Bytes))
		follows := 0
		if s.Follows {
			follows = 1
		}
		gauge(c.follows, follows)
	}
}
