package envoy_test

import (
	"net"
	"net/http"
	"sync"
	"testing"
)

const legacyUser7 = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" +
	"37\r\n" + coreUser7 + "\r\n0\r\n\r\n"

const coreUser7 = `{"userId":7,"username":"u","email":"e","createdAt":"c"}`

// TestOverlap shows that the legacy service and MongoDB work side by side: neither answers before both were asked. If
// one were asked only after the other had answered, none would, and the route's timeout would make it a degraded
// answer.
func TestOverlap(t *testing.T) {
	mongoAsked, legacyAsked := make(chan struct{}), make(chan struct{})
	var once sync.Once
	proxy := startMongoProxy(t, func() {
		once.Do(func() { close(mongoAsked) })
		<-legacyAsked
	})
	s := startSystem(t, systemOptions{mongodbURI: proxy.uri})
	s.legacy.answer("/api/v1/users/7", func(c net.Conn, r *http.Request) bool {
		close(legacyAsked)
		select {
		case <-mongoAsked:
			return raw(legacyUser7)(c, r)
		case <-t.Context().Done():
			return false
		}
	})

	checkAnswer(t, "200\nx-weft: composed\n\n"+
		`{"core":`+coreUser7+`,"extension":{"userId":7,"tags":[],"lastActivityScore":0.0,"customSettings":{}},"errors":[]}`,
		"", s.get(t, "/api/v1/users/7"))
}
