package cachetests

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"sync"
	"time"

	"weft/enrich/httpcache"
)

// proxy is a reverse proxy that keeps responses as package httpcache says. It is what weft and Envoy do, without them.
type proxy struct {
	origin http.RoundTripper

	mu      sync.Mutex
	entries map[string]httpcache.Entry // by path and query
}

// staleIfError is the limit for responses that stand in for failures.
const staleIfError = 10 * time.Minute

// ServeHTTP answers a request with a kept response, or that of the origin.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req := httpcache.Request{Method: r.Method, Header: r.Header.Clone()}
	req.HasCredentials = r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != ""
	for _, name := range []string{ // conditions and ranges apply to the composed answer
		"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
	} {
		req.Header.Del(name)
	}
	key := r.URL.RequestURI()
	p.mu.Lock()
	kept, isKept := p.entries[key].Select(req)
	p.mu.Unlock()
	use := httpcache.No
	if isKept {
		use = kept.Use(req, time.Now())
	}
	if use == httpcache.Fresh {
		answer(w, kept)
		return
	}
	header := req.Header.Clone()
	if use == httpcache.Validate {
		for name, values := range kept.Conditions() {
			header[name] = values
		}
	}
	resp, err := p.exchange(w, r, header)
	if err == nil && resp.Status == http.StatusNotModified && use == httpcache.Validate {
		if fresh, ok := kept.Freshen(resp); ok {
			p.update(key, func(e httpcache.Entry) httpcache.Entry { e, _ = e.Update(req, fresh, false); return e })
			answer(w, fresh)
			return
		}
		resp, err = p.exchange(w, r, req.Header)
	}
	if isFailure := err != nil || resp.Status >= 500; isFailure && isKept && kept.StandsIn(req, time.Now(), staleIfError) {
		answer(w, kept)
		return
	}
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	p.update(key, func(e httpcache.Entry) httpcache.Entry {
		if httpcache.Invalidates(r.Method, resp.Status) {
			return e.Invalidate(resp.Received)
		}
		e, _ = e.Update(req, resp, false)
		return e
	})
	pass(w, resp)
}

// update changes an entry. Between changes it is encoded, as in a store.
func (p *proxy) update(key string, change func(httpcache.Entry) httpcache.Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := httpcache.Decode(httpcache.Encode(change(p.entries[key])))
	if err != nil {
		panic(err)
	}
	p.entries[key] = e
}

// exchange sends a request to the origin, and passes its interim responses.
func (p *proxy) exchange(w http.ResponseWriter, r *http.Request, header http.Header) (httpcache.Response, error) {
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(code)
		clear(w.Header())
		return nil
	}}
	request := r.Clone(httptrace.WithClientTrace(r.Context(), trace))
	request.Header = header
	request.URL.Scheme, request.URL.Host, request.RequestURI = "http", "origin", ""
	requested := time.Now()
	response, err := p.origin.RoundTrip(request)
	if err != nil {
		return httpcache.Response{}, err
	}
	defer response.Body.Close()
	received := time.Now()
	body, err := io.ReadAll(response.Body)
	return httpcache.Response{
		Status: response.StatusCode, Header: response.Header, Body: body, Requested: requested, Received: received,
	}, err
}

// answer sends a kept response.
func answer(w http.ResponseWriter, r httpcache.Response) {
	r.Header = r.Header.Clone()
	r.Header.Set("Age", strconv.Itoa(int(r.Age(time.Now())/time.Second)))
	pass(w, r)
}

// pass sends a response.
func pass(w http.ResponseWriter, r httpcache.Response) {
	for name, values := range r.Header {
		w.Header()[name] = values
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Transfer-Encoding"} {
		w.Header().Del(name)
	}
	w.WriteHeader(r.Status)
	_, _ = w.Write(r.Body)
}

// pipes is a listener whose connections are in memory, so that a test with them can be in a synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "pipe"} }

// transport returns a transport that connects to p.
func (p *pipes) transport() *http.Transport {
	return &http.Transport{
		DisableCompression: true,
		DisableKeepAlives:  true, // otherwise net/http sends a request again if a case closes the connection
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			select {
			case p.conns <- server:
				return client, nil
			case <-p.closed:
				return nil, errors.New("the listener is closed")
			}
		},
	}
}
