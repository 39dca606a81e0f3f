package envoy_test

import (
	"net"
	"net/http"
	"sync"
	"testing"
)

// TestOverlap: the read runs concurrently with the upstream request. The legacy service and MongoDB both wait for the
// request to the other one; if one came after the response of the other, the route's timeout would end it.
func TestOverlap(t *testing.T) {
	mongoAsked, legacyAsked := make(chan struct{}), make(chan struct{})
	var once sync.Once
	proxy := startMongoProxy(t, func() {
		once.Do(func() { close(mongoAsked) })
		<-legacyAsked
	})
	s := startSystem(t, systemOptions{mongodbURI: proxy})
	s.legacy.answer("/api/v1/users/7", func(c net.Conn, r *http.Request) bool {
		close(legacyAsked)
		select {
		case <-mongoAsked:
			return raw(legacyUser7)(c, r)
		case <-t.Context().Done():
			return false
		}
	})

	checkAnswer(t, "200\nx-weft: composed\n\n"+compositeUser7, "", s.get(t, "/api/v1/users/7"))
}
