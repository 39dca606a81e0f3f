package observe

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"weft/enrich/corestore"
)

// CoreMemory registers metrics of cores that are kept in memory. Each scrape calls stats.
func CoreMemory(r prometheus.Registerer, stats func() corestore.Stats) {
	f := promauto.With(r)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weft_core_store_bytes",
		Help: "Memory that cores kept in the instance use. At most --core-cache-size.",
	}, func() float64 { return float64(stats().Bytes) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weft_core_store_entries",
		Help: "Keys of cores kept in the instance.",
	}, func() float64 { return float64(stats().Entries) })
}

// CoreGuard registers metrics of cores that are kept in Redis. Each scrape calls stats.
func CoreGuard(r prometheus.Registerer, stats func() corestore.GuardStats) {
	f := promauto.With(r)
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "weft_core_store_errors_total",
		Help: "Calls of Redis that failed or timed out. Only with --redis-url.",
	}, func() float64 { return float64(stats().Errors) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weft_core_store_open",
		Help: "1 while weft does not use Redis, because it is unavailable or slow. Only with --redis-url.",
	}, func() float64 {
		if stats().Open {
			return 1
		}
		return 0
	})
}
