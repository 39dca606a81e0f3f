package extproc_test

import (
	"strings"
	"testing"

	"weft/enrich"
	"weft/enrich/storetest"
)

// laterStore answers from another goroutine, when it is told to.
type laterStore struct {
	storetest.Mem
	answer chan struct{} // one for each read, which takes it when it is under way
}

func (l laterStore) Find(src *enrich.Source, keys []enrich.Key, found func([]enrich.Extension)) (giveUp func()) {
	go func() {
		<-l.answer
		l.Mem.Find(src, keys, found)
	}()
	return func() {}
}

// TestLargeBodySteppedAside: an exchange that works on a large body keeps no other of its connection waiting, whether the
// extension was there before the body or came after it.
func TestLargeBodySteppedAside(t *testing.T) {
	for name, late := range map[string]bool{"extension first": false, "body first": true} {
		t.Run(name, func(t *testing.T) {
			store := laterStore{storetest.Mem{}, make(chan struct{})}
			p := newPeer(t, store)
			working, goOn := make(chan struct{}), make(chan struct{})
			p.server.Report = func(r *enrich.Report) {
				if r.CoreSize > len(core7) { // it stands for work that takes long
					close(working)
					<-goOn
				}
			}
			large := p.stream(t.Context(), t)
			say(t, large, get7())
			say(t, large, responseHeaders("via_upstream", false, ":status", "200"))
			if !late {
				store.answer <- struct{}{}
			}
			padded := strings.TrimSuffix(core7, "}") + `,"pad":"` + strings.Repeat("x", 100_000) + `"}`
			if err := large.Send(responseBody(padded, true)); err != nil {
				t.Fatal(err)
			}
			if late {
				say(t, p.stream(t.Context(), t), requestHeaders(":method", "GET", ":path", "/")) // by then the body is there
				store.answer <- struct{}{}
			}
			<-working
			small := p.stream(t.Context(), t)
			say(t, small, get7())
			say(t, small, responseHeaders("via_upstream", false, ":status", "200"))
			if err := small.Send(responseBody(core7, true)); err != nil {
				t.Fatal(err)
			}
			if reply := say(t, p.stream(t.Context(), t), get7()); reply == nil { // by then the body is there
				t.Error("no answer to a third")
			}
			store.answer <- struct{}{}
			store.answer <- struct{}{} // the third's
			if reply, err := small.Recv(); err != nil || reply.GetResponseBody() == nil {
				t.Errorf("the other: %v, %v", reply, err)
			}
			ends(t, small)
			close(goOn)
			if reply, err := large.Recv(); err != nil || len(reply.GetResponseBody().GetResponse().GetBodyMutation().GetBody()) < len(padded) {
				t.Errorf("the large one: %.200v, %v", reply, err)
			}
			ends(t, large)
		})
	}
}
