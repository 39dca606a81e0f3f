package enrich

import (
	"net/http"
	"slices"
	"strings"
)

// Request has the parts of an HTTP request that weft uses.
type Request struct {
	Method      string
	Host        string // with or without a port (":authority" in HTTP/2)
	Path        string // path and query, as in the request line (":path" in HTTP/2)
	IfNoneMatch string // value of if-none-match; empty without it
	IsUpgrade   bool   // the client asks for another protocol, such as WebSocket (RFC 9110, section 7.8)

	// For rules that keep cores.
	Header         http.Header // without credentials
	HasBody        bool        // others must not wait for it: the body may never end
	HasCredentials bool        // the request has a header that identifies the caller
	IsVerified     bool        // the caller's verified claim equals the first parameter (Rule.Identity)
}

// Rules are rules in order of priority, with an index of their paths. The zero value has no rules.
type Rules struct {
	// byPrefix maps a literal prefix (see [Template.Literal]) to the rules that can match the paths for which it is the
	// longest prefix in the map.
	byPrefix map[string][]*Rule
	byName   map[string]*Rule
}

// NewRules indexes rules, which are in order of priority.
func NewRules(rules []*Rule) Rules {
	r := Rules{byPrefix: map[string][]*Rule{}, byName: map[string]*Rule{}}
	for _, rule := range rules {
		r.byPrefix[rule.Path.Literal()], r.byName[rule.Name] = nil, rule
	}
	for prefix := range r.byPrefix {
		for _, rule := range rules {
			if strings.HasPrefix(prefix, rule.Path.Literal()) {
				r.byPrefix[prefix] = append(r.byPrefix[prefix], rule)
			}
		}
	}
	return r
}

// Named returns the rule with a name, or nil.
func (r Rules) Named(name string) *Rule { return r.byName[name] }

// Match returns the first rule that matches a request, and the values of its Params. HEAD matches rules for GET, and an
// upgrade matches no rule. The time does not depend on the number of rules for other paths.
func (r Rules) Match(req Request) (rule *Rule, params []Value, ok bool) {
	if req.IsUpgrade {
		return nil, nil, false
	}
	method := req.Method
	if method == "HEAD" {
		method = "GET"
	}
	path, query, _ := strings.Cut(req.Path, "?")
	for _, rule := range r.candidates(path) {
		if !slices.Contains(rule.Methods, method) {
			continue
		}
		if params, ok = rule.matchTarget(params[:0], req.Host, path, query); ok {
			return rule, params, true
		}
	}
	return nil, nil, false
}

// matchTarget reports whether a request with any method matches the rule, and appends the values of Params to params.
func (r *Rule) matchTarget(params []Value, host, path, query string) ([]Value, bool) {
	if !matchHost(r.Host, host) {
		return params, false
	}
	params, ok := r.Path.Match(params, path)
	if !ok {
		return params, false
	}
	return matchQuery(params, r.Query, query)
}

// candidates returns the rules for the longest prefix of a path, which include the rules for shorter prefixes.
func (r Rules) candidates(path string) []*Rule {
	if rules, ok := r.byPrefix[path]; ok {
		return rules
	}
	for {
		slash := strings.LastIndexByte(path, '/')
		if slash < 0 {
			return nil
		}
		if rules, ok := r.byPrefix[path[:slash+1]]; ok {
			return rules
		}
		path = path[:slash]
	}
}

func matchHost(want, got string) bool {
	if want == "" {
		return true
	}
	if i := strings.LastIndexByte(got, ':'); i >= 0 && !strings.HasSuffix(got, "]") {
		got = got[:i]
	}
	if suffix, ok := strings.CutPrefix(want, "*"); ok {
		return len(got) > len(suffix) && strings.EqualFold(got[len(got)-len(suffix):], suffix)
	}
	return strings.EqualFold(got, want)
}

// matchQuery appends the values of the parameters to params. Each must be in the query exactly once and not encoded,
// because of two values some servers use the first, others the last.
func matchQuery(params []Value, want []QueryParam, query string) ([]Value, bool) {
	for _, q := range want {
		count, value := 0, ""
		for pair := range strings.SplitSeq(query, "&") {
			if name, v, _ := strings.Cut(pair, "="); name == q.Name {
				count++
				value = v
			}
		}
		if count != 1 {
			return params, false
		}
		if q.Type == 0 {
			if value != q.Fixed {
				return params, false
			}
			continue
		}
		v, ok := ParseParam(q.Type, value)
		if !ok {
			return params, false
		}
		params = append(params, v)
	}
	return params, true
}
