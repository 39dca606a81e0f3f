package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// kind is what an answer turns out to be.
type kind int

const (
	composed kind = iota // core and extension
	degraded             // one of them is null
	passed               // the legacy answer as it is (v1 only)
	detail               // 503: neither was to be had
	wrong                // anything else, or one of these where the scenario does not allow it
	kinds
)

// expected are the answers about one user, to the byte.
type expected struct{ whole, coreOnly, extensionOnly, legacy string }

const unavailable = `{"detail":"All upstream services are unavailable."}`

func expect(id int, core string) expected {
	extension := fmt.Sprintf(`{"userId":%d,"tags":["tag %d"],"lastActivityScore":%d.5,"customSettings":{"theme":"dark"}}`, id, id, id)
	return expected{
		whole:         `{"core":` + core + `,"extension":` + extension + `,"errors":[]}`,
		coreOnly:      `{"core":` + core + `,"extension":null,"errors":["Failed to fetch extended user profile."]}`,
		extensionOnly: `{"core":null,"extension":` + extension + `,"errors":["Failed to fetch core user profile."]}`,
		legacy:        core,
	}
}

func (e expected) kind(v1 bool, status int, body string) kind {
	switch {
	case status == http.StatusOK && body == e.whole:
		return composed
	case status == http.StatusOK && (body == e.coreOnly || body == e.extensionOnly):
		return degraded
	case status == http.StatusOK && body == e.legacy && v1:
		return passed
	case status == http.StatusServiceUnavailable && body == unavailable:
		return detail
	default:
		return wrong
	}
}

// crowd are clients who ask again as soon as they have an answer: for any user, half of them on each route, half of
// them over HTTP/1.1 and half over HTTP/2.
type crowd struct {
	w       *world
	allowed [kinds]bool
	over    atomic.Bool
	asking  sync.WaitGroup

	mu      sync.Mutex
	counts  [kinds]int
	slowest time.Duration
	wrongs  []string // the first few
}

func (w *world) crowd(ctx context.Context, clients int, allowed ...kind) *crowd {
	c := &crowd{w: w}
	for _, k := range allowed {
		c.allowed[k] = true
	}
	for i := range clients {
		client := newClient(i%4 >= 2)
		c.asking.Go(func() {
			defer client.CloseIdleConnections()
			for !c.over.Load() && ctx.Err() == nil {
				c.ask(ctx, client, i%2 == 0)
			}
		})
	}
	return c
}

// leave lets the clients have their last answers.
func (c *crowd) leave() {
	c.over.Store(true)
	c.asking.Wait()
}

func (c *crowd) ask(ctx context.Context, client *http.Client, v1 bool) {
	id := 1 + rand.IntN(users)
	began := time.Now()
	k, what := c.w.ask(ctx, client, id, v1)
	took := time.Since(began)
	if ctx.Err() != nil {
		return // the user has ended it all
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.allowed[k] {
		k = wrong
		if len(c.wrongs) < 5 {
			c.wrongs = append(c.wrongs, what)
		}
	}
	c.counts[k]++
	c.slowest = max(c.slowest, took)
}

// ask asks for a user. It also says in words what came.
func (w *world) ask(ctx context.Context, client *http.Client, id int, v1 bool) (kind, string) {
	path := fmt.Sprintf("/api/v3/composite-profile/%d", id)
	if v1 {
		path = fmt.Sprintf("/api/v1/users/%d", id)
	}
	// The standard library's client asks again when a connection breaks before an answer. A client that does not would
	// have seen an error.
	connections := 0
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connections++ }})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.envoyURL+path, http.NoBody)
	if err != nil {
		return wrong, err.Error()
	}
	response, err := client.Do(request)
	if err != nil {
		return wrong, fmt.Sprintf("%s: %v", path, err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	what := fmt.Sprintf("%s: %d, x-weft %q, %d connections, error %v, body %.300q",
		path, response.StatusCode, response.Header.Get("x-weft"), connections, err, body)
	if err != nil || connections != 1 {
		return wrong, what
	}
	return w.answers[id].kind(v1, response.StatusCode, string(body)), what
}

func newClient(http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Client{
		Transport: &http.Transport{Protocols: protocols, DisableCompression: true},
		Timeout:   30 * time.Second, // more than all of Envoy's timeouts together: an answer this late is none
	}
}
