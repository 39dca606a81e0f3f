package enrich

import (
	"slices"
	"strings"
)

// Request is the head of an HTTP request.
type Request struct {
	Method      string
	Host        string // with or without a port (":authority" in HTTP/2)
	Path        string // path and query, as they stand in the request line (":path" in HTTP/2)
	IfNoneMatch string // entity tags that the client has; empty for none
}

// Match finds the first rule for a request, and the values of the rule's Params. A HEAD falls under the rule of its
// GET.
func Match(rules []*Rule, req Request) (rule *Rule, params []Value, ok bool) {
	path, query, _ := strings.Cut(req.Path, "?")
	for _, r := range rules {
		if !r.hasMethod(req.Method) || !matchHost(r.Host, req.Host) {
			continue
		}
		if params, ok = r.Path.Match(params[:0], path); !ok {
			continue
		}
		if params, ok = matchQuery(params, r.Query, query); ok {
			return r, params, true
		}
	}
	return nil, nil, false
}

func (r *Rule) hasMethod(method string) bool {
	if method == "HEAD" {
		method = "GET"
	}
	return slices.Contains(r.Methods, method)
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

// matchQuery finds each parameter in a query, in which it must be once and not encoded: what stands there twice, one
// server takes the first of, and another the last.
func matchQuery(params []Value, want []QueryParam, query string) ([]Value, bool) {
	for _, q := range want {
		found, value := 0, ""
		for pair := range strings.SplitSeq(query, "&") {
			if name, v, _ := strings.Cut(pair, "="); name == q.Name {
				found++
				value = v
			}
		}
		if found != 1 {
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
