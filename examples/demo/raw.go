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

// rawAnswer is what the legacy service sent, down to how it broke off: a browser would not tell.
type rawAnswer struct {
	Status  int         `json:"status"`  // 0 when nothing came
	Headers [][2]string `json:"headers"` // names in lower case, sorted
	Body    string      `json:"body"`    // as text; in hexadecimal, its beginning, if it is none; of a large one the beginning
	Bytes   int64       `json:"bytes"`   // length of the body, as far as it came
	Error   string      `json:"error"`   // how it broke off, or ""
}

// The page gets a body whole when weft could join it, to compare the two, and of a larger one what can be shown.
const (
	whole = 1 << 20 // core.limit of a rule that does not say otherwise
	shown = 2 << 10
)

// askLegacy asks the legacy service at host:port itself, past Envoy.
func askLegacy(ctx context.Context, legacy, id, fault string) rawAnswer {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer, err := fetchRaw(ctx, url.URL{
		Scheme: "http", Host: legacy, RawQuery: url.Values{"fault": {fault}}.Encode(),
		Path: "/api/v1/users/" + id, RawPath: "/api/v1/users/" + url.PathEscape(id), // a slash in an id divides no path
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

// text shows the beginning of a body, whose last rune may be cut.
func text(start []byte) string {
	for cut := 0; cut < utf8.UTFMax && cut <= len(start); cut++ {
		if whole := start[:len(start)-cut]; utf8.Valid(whole) {
			return string(whole)
		}
	}
	return fmt.Sprintf("% x …", start[:min(32, len(start))])
}

// reason is the innermost error, without addresses and ports that change from run to run.
func reason(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	if errors.Is(err, io.EOF) {
		return "the connection was closed without an answer"
	}
	return err.Error()
}
