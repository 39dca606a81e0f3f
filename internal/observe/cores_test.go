package observe

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weft/enrich/corestore"
)

func TestCoreStoreMetrics(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	CoreMemory(r, func() corestore.Stats { return corestore.Stats{Entries: 1, Bytes: 2} })
	CoreGuard(r, func() corestore.GuardStats { return corestore.GuardStats{Errors: 3, Open: true} })
	const want = `
# HELP weft_core_store_bytes Memory that cores kept in the instance use. At most --core-cache-size.
# TYPE weft_core_store_bytes gauge
weft_core_store_bytes 2
# HELP weft_core_store_entries Keys of cores kept in the instance.
# TYPE weft_core_store_entries gauge
weft_core_store_entries 1
# HELP weft_core_store_errors_total Calls of Redis that failed or timed out. Only with --redis-url.
# TYPE weft_core_store_errors_total counter
weft_core_store_errors_total 3
# HELP weft_core_store_open 1 while weft does not use Redis, because it is unavailable or slow. Only with --redis-url.
# TYPE weft_core_store_open gauge
weft_core_store_open 1
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
