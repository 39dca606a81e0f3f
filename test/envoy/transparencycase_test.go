package envoy_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// corpusCase is one request, and the response of the legacy service. The comment of a file describes the case and has
// options:
//
//	protocol: 1.0, 1.1 or 2      of the client
//	request-body: 8MiB           a generated body instead of a text; the same for response-body
//	refused: 400                 the status with which every Envoy rejects the request; the comment says why
//	stream: true                 the legacy service sends a line of the body after the client has received the last one
//
// The request and the response follow as on the wire, with bare newlines and decoded bodies; "content-length: auto" is
// the length of the body. Bodies have Go's escapes. Optional parts are request-trailers, interim and response-trailers.
type corpusCase struct {
	name, protocol    string
	request, response *corpusMessage
	interim           string // a response before the response
	isStream          bool
	refused           string // the status with which every Envoy rejects the request; empty if it does not

	received chan record   // from the legacy service
	next     chan struct{} // to it, in a stream: the client has received the line
}

type corpusMessage struct {
	first    string
	fields   []string
	body     []byte
	trailers []string
}

func readCorpusCase(t *testing.T, file string) *corpusCase {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &corpusCase{
		name: strings.TrimSuffix(filepath.Base(file), ".txtar"), request: &corpusMessage{}, response: &corpusMessage{},
	}
	options := map[string]string{}
	for line := range strings.Lines(string(archive.Comment)) {
		if m := regexp.MustCompile(`^([a-z-]+): (\S+)\n$`).FindStringSubmatch(line); m != nil {
			options[m[1]] = m[2]
		}
	}
	c.protocol, c.refused = options["protocol"], options["refused"]
	c.isStream = options["stream"] == "true"
	for _, f := range archive.Files {
		text := strings.TrimSuffix(string(f.Data), "\n")
		switch f.Name {
		case "request":
			c.request.parse(t, text, options["request-body"])
		case "request-trailers":
			c.request.trailers = strings.Split(text, "\n")
		case "response":
			c.response.parse(t, text, options["response-body"])
		case "response-trailers":
			c.response.trailers = strings.Split(text, "\n")
		case "interim":
			c.interim = strings.ReplaceAll(text, "\n", "\r\n") + "\r\n\r\n"
		default:
			t.Fatalf("%s: unknown part %q", file, f.Name)
		}
	}
	if c.request.first == "" || c.response.first == "" || !slices.Contains([]string{"1.0", "1.1", "2"}, c.protocol) {
		t.Fatalf("%s: want a request, a response, and protocol: 1.0, 1.1 or 2", file)
	}
	return c
}

func (m *corpusMessage) parse(t *testing.T, text, size string) {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	m.first, m.fields = lines[0], lines[1:]
	unescaped, err := strconv.Unquote(`"` + strings.NewReplacer(`"`, `\"`, "\n", `\n`).Replace(body) + `"`)
	if err != nil {
		t.Fatalf("%v: %q", err, body)
	}
	m.body = []byte(unescaped)
	if size != "" {
		n, err := strconv.Atoi(strings.TrimSuffix(size, "MiB"))
		if err != nil {
			t.Fatal(err)
		}
		m.body = bytes.Repeat([]byte("0123456789abcdef"), n<<20/16)
	}
	for i, f := range m.fields {
		m.fields[i] = strings.ReplaceAll(f, "content-length: auto", fmt.Sprintf("content-length: %d", len(m.body)))
	}
}

// head returns the message up to the empty line, as on the wire.
func (m *corpusMessage) head() string {
	return strings.Join(append([]string{m.first}, m.fields...), "\r\n") + "\r\n\r\n"
}

// tail returns the body and the trailers, as on the wire.
func (m *corpusMessage) tail() string {
	if !strings.EqualFold(fieldOf(m.fields, "transfer-encoding"), "chunked") {
		return string(m.body)
	}
	var b strings.Builder
	for chunk := range slices.Chunk(m.body, 50000) {
		b.WriteString(chunkOf(chunk))
	}
	b.WriteString("0\r\n")
	for _, trailer := range m.trailers {
		b.WriteString(trailer + "\r\n")
	}
	return b.String() + "\r\n"
}

func chunkOf(data []byte) string { return fmt.Sprintf("%x\r\n%s\r\n", len(data), data) }

// status returns the status of a response.
func (m *corpusMessage) status() int {
	_, rest, _ := strings.Cut(m.first, " ")
	status, _, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(status)
	return n
}

func (m *corpusMessage) header() http.Header {
	h := http.Header{}
	for _, f := range m.fields {
		name, value, _ := strings.Cut(f, ":")
		h.Add(name, strings.TrimSpace(value))
	}
	return h
}

// fieldOf returns the value of the first field with a name.
func fieldOf(fields []string, name string) string {
	for _, f := range fields {
		if n, value, _ := strings.Cut(f, ":"); strings.EqualFold(n, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// addFields records fields: the values by lower-case name, and the spelling of the names.
func (r record) addFields(kind string, fields []string) {
	var spelling []string
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ":")
		lower := strings.ToLower(name)
		if name != lower {
			spelling = append(spelling, name)
		}
		r.add(kind+" "+lower, strings.TrimSpace(value))
	}
	slices.Sort(spelling)
	if len(spelling) > 0 {
		r[kind+" names"] = strings.Join(spelling, " ")
	}
}

func (r record) addHeader(kind string, header http.Header) {
	for name, values := range header {
		for _, value := range values {
			r.add(kind+" "+strings.ToLower(name), value)
		}
	}
}

// add records a value. It joins values of the same key, and replaces values that differ between runs.
func (r record) add(key, value string) {
	value = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`).
		ReplaceAllString(value, "UUID")
	switch key {
	case "response header x-envoy-upstream-service-time":
		value = "MS"
	case "response header date":
		value = regexp.MustCompile(`^\w{3}, \d\d \w{3} 20[2-9]\d .*`).ReplaceAllString(value, "NOW")
	case "response header server-timing":
		value = regexp.MustCompile(`dur=[0-9.]+`).ReplaceAllString(value, "dur=MS")
	}
	if before, ok := r[key]; ok {
		value = before + " | " + value
	}
	r[key] = value
}

func (r record) addBody(kind string, body []byte) {
	if len(body) > 1000 {
		r[kind+" body"] = fmt.Sprintf("%d bytes, SHA-256 %x", len(body), sha256.Sum256(body))
	} else if len(body) > 0 {
		r[kind+" body"] = string(body)
	}
}
