package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// rawAnswer is the response of the legacy service, including errors that a browser does not show.
type rawAnswer struct {
	Status  int         `json:"status"`  // 0 without a response
	Headers [][2]string `json:"headers"` // names in lower case, sorted
	Body    string      `json:"body"`    // only the beginning of a large body; in hexadecimal if it is not text
	Bytes   int64       `json:"bytes"`   // number of bytes received
	Error   string      `json:"error"`   // why the response is incomplete; empty if it is complete
}

// The page gets the whole body if weft composes it, for a comparison, and only the beginning of a larger one.
const (
	whole = 1 << 20 // the default of core.limit
	shown = 2 << 10
)

// fetchLegacy sends a request to the legacy service at host:port, bypassing Envoy.
func fetchLegacy(ctx context.Context, legacy, id, fault string) rawAnswer {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer, err := fetchRaw(ctx, url.URL{
		Scheme: "http", Host: legacy, RawQuery: url.Values{"fault": {fault}}.Encode(),
		Path: "/api/v1/users/" + id, RawPath: "/api/v1/users/" + url.PathEscape(id), // escapes slashes in the id
	})
	if err != nil {
		answer.Error = reason(err)
	}
	return answer
}

func fetchRaw(ctx context.Context, target url.URL) (answer rawAnswer, err error) {
	answer.Headers = [][2]string{}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return answer, err
	}
	response, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(request)
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	answer.Status = response.StatusCode
	for name, values := range response.Header {
		for _, value := range values {
			answer.Headers = append(answer.Headers, [2]string{strings.ToLower(name), value})
		}
	}
	slices.SortFunc(answer.Headers, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })

	start, err := io.ReadAll(io.LimitReader(response.Body, whole))
	answer.Bytes = int64(len(start))
	if err == nil {
		var rest int64
		rest, err = io.Copy(io.Discard, response.Body)
		answer.Bytes += rest
	}
	if answer.Bytes > whole {
		start = start[:shown]
	}
	answer.Body = text(start)
	return answer, err
}

// text formats the beginning of a body, whose last rune may be incomplete.
func text(start []byte) string {
	for cut := 0; cut < utf8.UTFMax && cut <= len(start); cut++ {
		if whole := start[:len(start)-cut]; utf8.Valid(whole) {
			return string(whole)
		}
	}
	return fmt.Sprintf("% x …", start[:min(32, len(start))])
}

// reason returns the innermost error, without addresses and ports, which differ between runs.
func reason(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	if errors.Is(err, io.EOF) {
		return "the connection was closed without a response"
	}
	return err.Error()
}
