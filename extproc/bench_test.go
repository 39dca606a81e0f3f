package extproc_test

import (
	"testing"

	"google.golang.org/grpc/metadata"

	"weft/enrich/storetest"
	"weft/extproc"
)

// BenchmarkProcess is one whole exchange over gRPC, as Envoy has it. What it allocates is that of both ends, and of a
// store that reads JSON.
func BenchmarkProcess(b *testing.B) {
	p := newPeer(b, storetest.Mem{`{"userId":7,"tags":["vip"]}`})
	ctx := metadata.AppendToOutgoingContext(b.Context(), extproc.BudgetHeader, "900ms")
	request := requestHeaders(":method", "GET", ":authority", "users", ":path", "/api/v1/users/7")
	response := responseHeaders("via_upstream", false, ":status", "200")
	body := responseBody(core7, true)
	b.ReportAllocs()
	for b.Loop() {
		s := p.stream(ctx, b)
		say(b, s, request)
		say(b, s, response)
		reply := say(b, s, body)
		if reply.GetResponseBody().GetResponse().GetBodyMutation() == nil {
			b.Fatal(reply)
		}
		ends(b, s)
		<-p.reports
	}
}
