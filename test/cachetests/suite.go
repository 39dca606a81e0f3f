// Package cachetests replays the cases of https://github.com/http-tests/cache-tests, a suite for RFC 9111 by an editor
// of it. It has the suite's engine in Go: [Origin] and [Runner] do what test-engine/server and test-engine/client do.
//
// weft only composes JSON objects, so that the origin's bodies are {"body": text}, and the client reads the text out of
// the composed answer.
package cachetests

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// cases is the output of export.mjs.
//
//go:embed cases.json
var cases []byte

// Suites are the cases, and how other caches fare.
type Suites struct {
	Commit string // of the suite's repository

	// Others has the number of required cases for other caches, without those that depend on other cases that fail.
	Others []struct {
		Name       string
		Pass, Fail int
	}

	Suites []struct {
		ID    string
		Tests []Case
	}
}

// Case is a list of requests that are sent one after the other, and what is expected of them.
type Case struct {
	ID, Name    string
	Kind        Kind
	DependsOn   []string `json:"depends_on"`
	BrowserOnly bool     `json:"browser_only"`
	Requests    []Request
}

// Kind says what a failure of a case means.
type Kind string

const (
	Required Kind = "required" // the cache breaks the specification
	Optimal  Kind = "optimal"  // the cache does not use what it could use
	Check    Kind = "check"    // nothing: the specification allows both
)

// Request is a request, the response of the origin, and what is expected. See CONTRIBUTING.md of the suite.
type Request struct {
	Method    string  `json:"request_method"`
	Headers   []Field `json:"request_headers"`
	Body      string  `json:"request_body"`
	QueryArg  string  `json:"query_arg"`
	Filename  string
	MagicIMS  bool     `json:"magic_ims"`
	RFC850    []string `json:"rfc850date"`
	PauseTime bool     `json:"pause_after"`

	Disconnect       bool
	MagicLocations   bool     `json:"magic_locations"`
	InterimResponses []Status `json:"interim_responses"`
	ResponseStatus   *Status  `json:"response_status"`
	ResponseHeaders  []Field  `json:"response_headers"`
	ResponseBody     *string  `json:"response_body"`
	ResponsePause    int      `json:"response_pause"`

	Setup                          bool
	SetupTests                     []string        `json:"setup_tests"`
	CheckBody                      *bool           `json:"check_body"`
	ExpectedType                   string          `json:"expected_type"`
	ExpectedMethod                 string          `json:"expected_method"`
	ExpectedStatus                 json.RawMessage `json:"expected_status"`
	ExpectedRequestHeaders         []Field         `json:"expected_request_headers"`
	ExpectedRequestHeadersMissing  []Field         `json:"expected_request_headers_missing"`
	ExpectedResponseHeaders        []Field         `json:"expected_response_headers"`
	ExpectedResponseHeadersMissing []Field         `json:"expected_response_headers_missing"`
	ExpectedResponseText           json.RawMessage `json:"expected_response_text"`
	ExpectedInterimResponses       []Status        `json:"expected_interim_responses"`
}

// isSetup reports whether the failure of a check means that the case did not get as far as what it is about.
func (r *Request) isSetup(check string) bool {
	for _, setup := range r.SetupTests {
		if setup == check {
			return true
		}
	}
	return r.Setup
}

// Field is a header field, or what is expected of one: a name, name and value, or name, operator and operand.
type Field struct {
	Name     string
	Value    string
	Seconds  *int // instead of Value: a time relative to now
	Operator string
	IsNamed  bool // without a value
	IsSaved  bool // in a response of the origin: the client must get it
}

// UnmarshalJSON decodes a string or an array.
func (f *Field) UnmarshalJSON(b []byte) error {
	*f = Field{IsSaved: true}
	if json.Unmarshal(b, &f.Name) == nil {
		f.IsNamed = true
		return nil
	}
	var parts []any
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	for i, part := range parts {
		switch part := part.(type) {
		case bool:
			f.IsSaved = part
		case float64:
			seconds := int(part)
			f.Seconds, f.Value = &seconds, strconv.Itoa(seconds)
		case string:
			switch i {
			case 0:
				f.Name = part
			case 1:
				f.Value = part
			default:
				f.Operator, f.Value = f.Value, part
			}
		default:
			return fmt.Errorf("field %s", b)
		}
	}
	if len(parts) == 3 && f.Seconds != nil {
		f.Operator = ">"
	}
	return nil
}

// resolve returns the value of f. header is that of the response that has the time and the path of the origin.
func (f *Field) resolve(header http.Header, r *Request) string {
	name := strings.ToLower(f.Name)
	switch name {
	case "date", "expires", "last-modified", "if-modified-since", "if-unmodified-since":
		now, err := strconv.ParseInt(header.Get("Server-Now"), 10, 64)
		if f.Seconds == nil || err != nil {
			return f.Value
		}
		layout := http.TimeFormat
		for _, old := range r.RFC850 {
			if old == name {
				layout = "Monday, 02-Jan-06 15:04:05 GMT"
			}
		}
		return time.UnixMilli(now).Add(time.Duration(*f.Seconds) * time.Second).UTC().Format(layout)
	case "location", "content-location":
		if r.MagicLocations {
			return strings.TrimSuffix(header.Get("Server-Base-Url")+"/"+f.Value, "/")
		}
	}
	return f.Value
}

// Status is the status of a response: code and phrase, or code and fields of an interim one.
type Status struct {
	Code   int
	Phrase string
	Fields []Field
}

// UnmarshalJSON decodes an array.
func (s *Status) UnmarshalJSON(b []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	if err := json.Unmarshal(parts[0], &s.Code); err != nil || len(parts) == 1 {
		return err
	}
	if json.Unmarshal(parts[1], &s.Phrase) == nil {
		return nil
	}
	return json.Unmarshal(parts[1], &s.Fields)
}

// Load returns the cases.
func Load() (suites Suites, err error) {
	err = json.Unmarshal(cases, &suites)
	for _, s := range suites.Suites {
		for i := range s.Tests {
			s.Tests[i].Kind = cmp.Or(s.Tests[i].Kind, Required)
		}
	}
	return suites, err
}
