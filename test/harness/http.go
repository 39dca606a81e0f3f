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

// Answer is an HTTP response that was read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// String returns the status, the header x-weft and the body, as tests show them.
func (a Answer) String() string {
	return fmt.Sprintf("%d, x-weft %q: %s", a.Status, a.Header.Get("X-Weft"), a.Body)
}

// NewClient returns a client over HTTP/1.1 or, without TLS and without an upgrade (RFC 9113, section 3.3), over HTTP/2.
// It follows no redirects and asks for no compression. Its timeout is longer than all of Envoy's together, so that a
// missing response is an error of its test only.
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

// Do sends a request and reads the response. It is an error if the response is cut off, or if the client had to send
// the request a second time because the connection broke: other clients do not do that.
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
		return Answer{}, fmt.Errorf("status %d, cut off after %.300q: %w", response.StatusCode, body, err)
	}
	if response.ContentLength >= 0 {
		response.Header.Set("Content-Length", strconv.FormatInt(response.ContentLength, 10))
	}
	return Answer{Status: response.StatusCode, Header: response.Header, Body: string(body)}, nil
}

// Get sends a GET request over a connection of its own. The headers are name, value, name, value.
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
