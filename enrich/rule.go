// Package enrich decides what weft does with an HTTP exchange: which rule an exchange falls under ([Match]),
// what a response means ([Rule.Verdict]), and what the client gets ([Rule.Compose]). These are pure functions of
// plain values. The one thing that runs beside them is the read of the extension ([Fetch]).
//
// The package knows neither Envoy nor MongoDB: package extproc carries the conversation with the one, a [Store]
// such as mongostore reads from the other.
package enrich

import (
	"strconv"
	"strings"
)

// Rule joins the responses of one REST resource with one document each: the legacy response is the core, the
// document is the extension. A Rule is read-only once it is in use.
type Rule struct {
	Name       string   // names the rule in logs and metrics
	Path       Template // which GET requests the rule is for
	LegacyPath Template // the core's path at the legacy service, to which Envoy rewrites; empty if it is Path

	Core      []CoreField // members that a core must have, else it counts as failed
	CoreKey   string      // member of the core that must equal the key of Path: two users are never mixed
	CoreLimit int         // bytes of a core, decoded, that weft holds to compose
	Large     LargeCore   // what becomes of a larger one

	NotFound NotFound      // what a 404 of the legacy service means
	Degrade  DegradePolicy // who gets an extension without a core when the legacy service fails
	Identity Claim         // whose it is, for DegradeAuthenticated
	Fallback Fallback      // what the client gets while weft is down
	Source   Source        // where the extension comes from
	Messages Messages
}

// Messages are the texts that a client reads when a half is missing.
type Messages struct {
	CoreFailed      string // in "errors"
	ExtensionFailed string // in "errors"
	BothFailed      string // in "detail" of the 503
}

// NotFound is what a rule makes of a 404 of the legacy service.
type NotFound uint8

const (
	PassNotFound    NotFound = iota // the 404 reaches the client as it is
	DegradeNotFound                 // core null, extension given
)

// LargeCore is what a rule makes of a core over its limit.
type LargeCore uint8

const (
	PassLarge LargeCore = iota // it passes untouched
	// StreamLarge splices the composite around it while it passes, in constant memory. So are cores of unknown length,
	// whatever it turns out to be. A core that proves to be invalid then leaves the client with a body that is no JSON,
	// instead of a core that is null.
	StreamLarge
)

// DegradePolicy says who gets the extension alone when the legacy service gave no answer or a 5xx: it may be the one that
// would have checked who is asking, and now nobody has.
type DegradePolicy uint8

const (
	DegradeAlways        DegradePolicy = iota // whoever asks
	DegradeAuthenticated                      // who is, as the proxy has verified, the one that the key names; others get the failure
	DegradeNever                              // nobody: the failure of the legacy service passes
)

// Claim names a claim of a token that the proxy has verified.
type Claim struct {
	Payload string // the name under which the proxy keeps the token's payload (jwt_authn's payload_in_metadata)
	Name    string // of the claim, for example "sub"; its value must be the key, as a string or a number
}

// Fallback is what the proxy makes of a legacy response that weft has not seen.
type Fallback uint8

const (
	FallbackLegacy    Fallback = iota // the legacy response as it is
	FallbackComposite                 // a composite whose extension is null, so that the client finds the shape it knows
)

// Type is what a member's value must be.
type Type uint8

const (
	Int64   Type = iota + 1 // an integer
	Number                  // a double; what MongoDB holds as another number, bool or numeric string is converted
	String                  // a string
	Strings                 // an array of nothing but strings
	Object                  // a document
)

// CoreField is a required member of the core. Its Type is [Int64] (an integer of any size) or [String].
type CoreField struct {
	Name string
	Type Type
}

// Source says where the extensions of a rule are read, and which of their fields leave.
type Source struct {
	Database   string
	Collection string
	Key        string  // the field that the key of the request is compared with
	Fields     []Field // in the order of the output; fields that are not named never leave
}

// Field is one field of an extension.
type Field struct {
	Name    string
	Type    Type
	Default string // JSON, for a document without the field; unused for the Source's Key
}

// Default is the extension of a key that has no document: every field has its default.
func (s *Source) Default(key int64) []byte {
	b := []byte{'{'}
	for i, f := range s.Fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendQuoted(b, f.Name), ':')
		if f.Name == s.Key {
			b = strconv.AppendInt(b, key, 10)
		} else {
			b = append(b, f.Default...)
		}
	}
	return append(b, '}')
}

// Request is the head of an HTTP request.
type Request struct {
	Method      string
	Path        string // path and query, as they stand in the request line (":path" in HTTP/2)
	IfNoneMatch string // entity tags that the client has; empty for none
}

// Match finds the first rule for a request, and the key in its path. A HEAD falls under the rule of its GET.
func Match(rules []*Rule, req Request) (rule *Rule, key int64, ok bool) {
	if req.Method != "GET" && req.Method != "HEAD" {
		return nil, 0, false
	}
	path, _, _ := strings.Cut(req.Path, "?")
	for _, r := range rules {
		if key, ok := r.Path.Match(path); ok {
			return r, key, true
		}
	}
	return nil, 0, false
}

// Template is a path with one int64 parameter in braces, such as "/api/v1/users/{userId}".
type Template string

// Match reports whether path has the form of the template, and the parameter's value. Only the canonical decimal
// spelling of an int64 matches: languages disagree about "007", "+5" or "%37", so that the legacy service and
// MongoDB could be asked for two different users.
func (t Template) Match(path string) (int64, bool) {
	prefix, rest, _ := strings.Cut(string(t), "{")
	_, suffix, _ := strings.Cut(rest, "}")
	path, ok := strings.CutPrefix(path, prefix)
	if !ok {
		return 0, false
	}
	param, ok := strings.CutSuffix(path, suffix)
	if !ok {
		return 0, false
	}
	return parseCanonicalInt64(param)
}

func parseCanonicalInt64(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, false
	}
	var canonical [20]byte // len("-9223372036854775808")
	return n, string(strconv.AppendInt(canonical[:0], n, 10)) == s
}
