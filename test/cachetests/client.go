package cachetests

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Runner runs cases.
type Runner struct {
	Origin *Origin
	Client *http.Client // that follows no redirects
	URL    string       // of the cache, without a slash at the end

	// Paths has the first part of the paths of cases by suite; the default is "/test".
	Paths map[string]string

	// Own are the fields of responses that the cache sets itself. Clients need not get those of the origin.
	Own []string
}

const (
	pause          = 3 * time.Second // after some requests, so that responses become stale
	requestTimeout = 10 * time.Second
)

// failure is the first check of a case that failed.
type failure struct {
	isSetup bool   // what the case is about was not tested
	message string // the same in each run
	detail  string
}

// Error returns the message and details.
func (f *failure) Error() string { return f.String() + "; " + f.detail }

// String returns the message.
func (f *failure) String() string {
	if f.isSetup {
		return "setup: " + f.message
	}
	return f.message
}

// clientResponse is a response as the client received it.
type clientResponse struct {
	status  int
	header  http.Header
	body    string
	interim []Status
}

// values returns the values of a field as one, and whether there are some.
func (r *clientResponse) values(name string) (string, bool) {
	values := r.header.Values(name)
	return strings.Join(values, ", "), len(values) > 0
}

// execution is a case that is run. It holds the first failure; checks after it do nothing.
type execution struct {
	Runner
	path    string
	id      string // of this run of the case
	failure *failure
}

// Run runs a case of a suite. It returns nil if the case holds. id must be another one for each run.
func (r Runner) Run(ctx context.Context, suite string, c Case, id string) error {
	e := &execution{Runner: r, id: id, path: cmp.Or(r.Paths[suite], "/test") + "/" + id}
	r.Origin.add(id, c.Requests)
	var responses []*clientResponse
	for i := range c.Requests {
		var before http.Header
		if i > 0 {
			before = responses[i-1].header
		}
		response, err := e.send(ctx, &c, i, before)
		if err != nil {
			return &failure{message: fmt.Sprintf("request %d has no response", i+1), detail: err.Error()}
		}
		responses = append(responses, response)
		if e.checkResponse(i+1, &c.Requests[i], response); e.failure != nil {
			return e.failure
		}
		if c.Requests[i].PauseTime {
			time.Sleep(pause)
		}
	}
	if e.checkRequests(c.Requests, responses); e.failure != nil {
		return e.failure
	}
	return nil
}

// RunAll runs all cases, some at a time, and returns the errors of those that fail. Like the suite it gives each case a
// path of its own.
func (r Runner) RunAll(ctx context.Context, suites Suites, atOnce int) map[string]error {
	var (
		running sync.WaitGroup
		slots   = make(chan struct{}, atOnce)
		mu      sync.Mutex
		failed  = map[string]error{}
	)
	for _, suite := range suites.Suites {
		for _, c := range suite.Tests {
			if c.BrowserOnly {
				continue
			}
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				if err := r.Run(ctx, suite.ID, c, rand.Text()); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed[c.ID] = err
				}
			})
		}
	}
	running.Wait()
	return failed
}

// send sends a request of a case. before has the header of the response before it.
func (e *execution) send(ctx context.Context, c *Case, index int, before http.Header) (*clientResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response := &clientResponse{}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			status := Status{Code: code}
			for name, values := range header {
				status.Fields = append(status.Fields, Field{Name: name, Value: strings.Join(values, ", ")})
			}
			response.interim = append(response.interim, status)
			return nil
		},
	})
	r := &c.Requests[index]
	url := e.URL + e.path
	if r.Filename != "" {
		url += "/" + r.Filename
	}
	if r.QueryArg != "" {
		url += "?" + r.QueryArg
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, url, strings.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	if r.Body == "" {
		request.Body, request.GetBody, request.ContentLength = nil, nil, 0
	}
	// The suite sends these two, so that fetch does not set others.
	request.Header = http.Header{"Pragma": {"foo"}, "Cache-Control": {"nothing-to-see-here"}}
	for _, f := range r.Headers {
		value := f.Value
		if r.MagicIMS {
			value = f.resolve(before, r)
		}
		request.Header.Add(f.Name, latin1(value))
	}
	for name, values := range request.Header {
		request.Header[name] = []string{strings.Join(values, ", ")} // as fetch does
	}
	request.Header.Set("Test-Id", c.ID)
	request.Header.Set("Req-Num", strconv.Itoa(index+1))
	answer, err := e.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	response.status, response.header, response.body = answer.StatusCode, answer.Header, text(body)
	return response, err
}

// text returns the text of a body of the origin, or of an answer that weft composed of one.
func text(body []byte) string {
	var b struct {
		Core *struct{ Body string }
		Body *string
	}
	switch err := json.Unmarshal(body, &b); {
	case err != nil:
		return string(body)
	case b.Core != nil:
		return b.Core.Body
	case b.Body != nil:
		return *b.Body
	}
	return string(body)
}

// check holds a failure unless ok. The message is the same in each run.
func (e *execution) check(isSetup, ok bool, format string, args ...any) {
	e.checkValue(isSetup, ok, "", "", format, args...)
}

// checkValue is check with a value that was received.
func (e *execution) checkValue(isSetup, ok bool, got, want, format string, args ...any) {
	if !ok && e.failure == nil {
		e.failure = &failure{
			isSetup: isSetup, message: fmt.Sprintf(format, args...), detail: fmt.Sprintf("got %q, want %q", got, want),
		}
	}
}

// checkResponse checks the response to a request.
func (e *execution) checkResponse(number int, r *Request, response *clientResponse) {
	seen := strings.Fields(response.header.Get("Request-Numbers"))
	e.check(true, len(slices.Compact(slices.Sorted(slices.Values(seen)))) == len(seen), "a request was sent again")

	// The number of the request that the origin received for this response; 0 if the field is missing.
	count, _ := strconv.Atoi(response.header.Get("Server-Request-Count"))
	switch r.ExpectedType {
	case "cached":
		// A stale core is in an answer with the fields of the failed response.
		isStale := strings.Contains(response.header.Get("X-Weft"), "core=stale")
		isUnnumbered304 := response.status == http.StatusNotModified && count == 0
		e.check(r.isSetup("expected_type"), isStale || isUnnumbered304 || count > 0 && count < number,
			"response %d is not from the cache", number)
	case "not_cached":
		e.check(r.isSetup("expected_type"), count == number, "response %d is from the cache", number)
	}
	e.checkStatus(number, r, response.status)
	e.checkResponseHeaders(number, r, response)
	if r.ExpectedInterimResponses != nil {
		e.checkInterim(number, r, response.interim)
	}
	e.checkBody(r, response)
}

func (e *execution) checkStatus(number int, r *Request, status int) {
	expected, isSetup := http.StatusOK, true
	switch {
	case string(r.ExpectedStatus) == "null":
		return
	case r.ExpectedStatus != nil:
		expected, _ = strconv.Atoi(string(r.ExpectedStatus))
		isSetup = r.isSetup("expected_status")
	case r.ResponseStatus != nil:
		expected = r.ResponseStatus.Code
	case status == statusNotConditional:
		e.check(r.isSetup("expected_type"), false, "request %d is not conditional", number)
	}
	e.check(isSetup, status == expected, "response %d has status %d, not %d", number, status, expected)
}

func (e *execution) checkResponseHeaders(number int, r *Request, response *clientResponse) {
	isSetup := r.isSetup("expected_response_headers")
	for _, f := range r.ExpectedResponseHeaders {
		value, ok := response.values(f.Name)
		want := latin1(f.resolve(response.header, r))
		switch f.Operator {
		case "=":
			want, _ = response.values(f.Value)
			ok = ok && value == want
		case ">":
			n, err := strconv.Atoi(value)
			ok = err == nil && n > *f.Seconds
		default:
			ok = ok && (f.IsNamed || value == want)
		}
		e.checkValue(isSetup, ok, value, want, "response %d has not the expected %s", number, f.Name)
	}
	isSetup = r.isSetup("expected_response_headers_missing")
	for _, f := range r.ExpectedResponseHeadersMissing {
		value, ok := response.values(f.Name)
		e.checkValue(isSetup, !ok || !f.IsNamed && !strings.Contains(value, f.Value),
			value, "", "response %d has %s", number, f.Name)
	}
}

func (e *execution) checkInterim(number int, r *Request, interim []Status) {
	isSetup := r.isSetup("expected_interim_responses")
	e.check(isSetup, len(interim) == len(r.ExpectedInterimResponses),
		"response %d has %d interim responses, not %d", number, len(interim), len(r.ExpectedInterimResponses))
	for i, expected := range r.ExpectedInterimResponses {
		if e.failure != nil {
			return
		}
		e.check(isSetup, interim[i].Code == expected.Code, "interim response %d has status %d", i+1, interim[i].Code)
		header := headerOf(interim[i].Fields)
		for _, f := range expected.Fields {
			e.check(isSetup, header.Get(f.Name) != "", "interim response %d has no %s", i+1, f.Name)
		}
	}
}

func (e *execution) checkBody(r *Request, response *clientResponse) {
	expected, isSetup := e.id, true
	switch {
	case r.CheckBody != nil && !*r.CheckBody, string(r.ExpectedResponseText) == "null":
		return
	case r.ExpectedResponseText != nil:
		if err := json.Unmarshal(r.ExpectedResponseText, &expected); err != nil {
			panic(err) // no case of the suite
		}
		isSetup = r.isSetup("expected_response_text")
	case r.ResponseBody != nil:
		expected = *r.ResponseBody
	case !hasBody(response.status) || r.Method == http.MethodHead:
		return
	}
	e.checkValue(isSetup, response.body == expected, response.body, expected, "a response has not the expected body")
}

// checkRequests checks what the origin received.
func (e *execution) checkRequests(requests []Request, responses []*clientResponse) {
	state := e.Origin.state(e.id)
	for i := range requests {
		r, number := &requests[i], i+1
		if r.ExpectedType == "cached" {
			continue // the origin does not receive it
		}
		if len(state) == 0 {
			// A case that says nothing about the request allows that the cache answered it.
			isExpected := r.ExpectedType != "" || r.ExpectedMethod != "" || len(r.ExpectedRequestHeaders) > 0
			isSetup := strings.HasSuffix(r.ExpectedType, "validated") && r.isSetup("expected_type")
			e.check(isSetup, !isExpected, "the origin did not receive request %d", number)
			continue
		}
		received := state[0]
		state = state[1:]
		e.checkRequest(number, r, &received)
		for _, name := range slices.Sorted(maps.Keys(received.saved)) {
			if name == "Date" || slices.ContainsFunc(e.Own, func(own string) bool { return strings.EqualFold(own, name) }) {
				continue
			}
			value, _ := responses[i].values(name)
			want := latin1(received.saved[name])
			e.checkValue(true, listOf(value) == listOf(want), value, want, "response %d has not the expected %s", number, name)
		}
	}
}

// listOf returns the value of a field without spaces after commas: proxies combine lines with and without them.
func listOf(value string) string { return strings.ReplaceAll(value, ", ", ",") }

// checkRequest checks a request that the origin received.
func (e *execution) checkRequest(number int, r *Request, received *serverRequest) {
	condition := map[string]string{"etag_validated": "If-None-Match", "lm_validated": "If-Modified-Since"}[r.ExpectedType]
	switch {
	case r.ExpectedType == "not_cached":
		e.check(r.isSetup("expected_type"), received.number == number, "response %d is from the cache", number)
	case condition != "":
		e.check(r.isSetup("expected_type"), received.header.Get(condition) != "", "request %d has no %s", number, condition)
	}
	isSetup := r.isSetup("expected_request_headers")
	for _, f := range r.ExpectedRequestHeaders {
		values := received.header.Values(f.Name)
		value := strings.Join(values, ", ")
		e.checkValue(isSetup, len(values) > 0 && (f.IsNamed || value == latin1(f.Value)),
			value, f.Value, "request %d has not the expected %s", number, f.Name)
	}
	isSetup = r.isSetup("expected_request_headers_missing")
	for _, f := range r.ExpectedRequestHeadersMissing {
		values := received.header.Values(f.Name)
		isThere := len(values) > 0 && (f.IsNamed || strings.Join(values, ", ") == latin1(f.Value))
		e.check(isSetup, !isThere, "request %d has %s", number, f.Name)
	}
	if r.ExpectedMethod != "" {
		e.check(r.isSetup("expected_method"), received.method == r.ExpectedMethod,
			"request %d has method %s, not %s", number, received.method, r.ExpectedMethod)
	}
}
