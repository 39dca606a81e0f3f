package envoy_test

import (
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestOverflowIsCounted: if Envoy has more exchanges open than the circuit breaker of weft's cluster allows, the others
// pass, and Envoy counts them. The alert WeftStreamsOverflow is about this counter.
func TestOverflowIsCounted(t *testing.T) {
	s := startSystem(t, systemOptions{change: func(b *bootstrapv3.Bootstrap) {
		b.GetStaticResources().GetClusters()[1].GetCircuitBreakers().GetThresholds()[0].MaxRequests = wrapperspb.UInt32(0)
	}})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	checkAnswer(t, "200\nx-weft: -\n\n"+coreUser7, "", s.get(t, "/api/v1/users/7"))
	if n := s.stat(t, "cluster.weft.upstream_rq_active_overflow"); n != 1 {
		t.Errorf("overflows: %d, want 1", n)
	}
}
