package extproc_test

import (
	"testing"
	"time"

	"google.golang.org/grpc"

	"weft/enrich/storetest"
	"weft/extproc"
)

// BenchmarkProcess is one whole exchange over gRPC, as Envoy has it. What it allocates is that of both ends, and of a store
// that reads JSON.
func BenchmarkProcess(b *testing.B) {
	p := newPeer(b, storetest.Mem{`{"userId":7,"tags":["vip"]}`})
	told := grpc.CallAuthority(extproc.Authority{Budget: 900 * time.Millisecond}.String())
	request := requestHeaders(":method", "GET", ":authority", "users", ":path", "/api/v1/users/7")
	response := responseHeaders("via_upstream", false, ":status", "200")
	body := responseBody(core7, true)
	b.ReportAllocs()
	for b.Loop() {
		s := p.stream(b.Context(), b, told)
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
