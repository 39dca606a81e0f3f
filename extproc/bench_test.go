package extproc_test

import (
	"testing"

	"google.golang.org/grpc/metadata"

	"weft/extproc"
	"weft/test/storetest"
)

// BenchmarkProcess measures a complete exchange over gRPC. Allocations include those of the client and of a store that
// parses JSON.
func BenchmarkProcess(b *testing.B) {
	p := newPeer(b, storetest.Mem{`{"userId":7,"tags":["vip"]}`})
	ctx := metadata.AppendToOutgoingContext(b.Context(), extproc.BudgetHeader, "900ms")
	request := requestHeaders(":method", "GET", ":authority", "users", ":path", "/api/v1/users/7")
	response := responseHeaders("via_upstream", false, ":status", "200")
	body := responseBody(core7, true)
	b.ReportAllocs()
	for b.Loop() {
		s := p.stream(ctx, b)
		roundTrip(b, s, request)
		roundTrip(b, s, response)
		reply := roundTrip(b, s, body)
		if reply.GetResponseBody().GetResponse().GetBodyMutation() == nil {
			b.Fatal(reply)
		}
		expectEnd(b, s)
		<-p.reports
	}
}
