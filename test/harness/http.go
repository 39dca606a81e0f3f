package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"time"
)

// Answer is an HTTP response with its whole body.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// String returns the status, the x-weft header and the body, for test logs.
func (a Answer) String() string {
	return fmt.Sprintf("%d, x-weft %q: %s", a.Status, a.Header.Get("X-Weft"), a.Body)
}

// NewClient returns a client for HTTP/1.1 or for cleartext HTTP/2 with prior knowledge (RFC 9113, section 3.3). It does
// not follow redirects and does not accept compression. Its timeout exceeds the sum of Envoy's, so it ends a request
// only if Envoy never responds.
func NewClient(isHTTP2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!isHTTP2)
	protocols.SetUnencryptedHTTP2(isHTTP2)
	return &http.Client{
		Transport:     &http.Transport{Protocols: protocols, DisableCompression: true},
		Timeout:       90 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Do sends a request and reads the response. It returns an error if the body is truncated, or if net/http retried the
// request on another connection, which other clients do not do.
func Do(client *http.Client, request *http.Request) (Answer, error) {
	connections := 0
	trace := httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connections++ }}
	response, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), &trace)))
	if err != nil {
		return Answer{}, err
	}
	body, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if connections != 1 {
		err = errors.Join(err, fmt.Errorf("%s was sent %d times", request.URL, connections))
	}
	if err != nil {
		return Answer{}, fmt.Errorf("status %d, truncated after %.300q: %w", response.StatusCode, body, err)
	}
	if response.ContentLength >= 0 {
		response.Header.Set("Content-Length", strconv.FormatInt(response.ContentLength, 10))
	}
	return Answer{Status: response.StatusCode, Header: response.Header, Body: string(body)}, nil
}

// Get sends a GET request over a new connection. headers are pairs of name and value.
func Get(ctx context.Context, url string, headers ...string) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return Answer{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	client := NewClient(false)
	defer client.CloseIdleConnections()
	return Do(client, request)
}
