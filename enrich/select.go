package enrich

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A client may select members of an answer with a query parameter, such as fields=core.username,extension.tags. The
// request then has a rule of its own, which reads and returns only these members: see [Rule.Narrow].

// Select is the policy for selections. The zero value ignores them: the parameter is the legacy service's.
type Select struct {
	Param         string // name of the query parameter
	IgnoreUnknown bool   // names that the rule does not have are ignored; otherwise the request is rejected
	Forward       bool   // the legacy service gets the parameter
}

// selection is what a request selects. Fields are by index.
type selection struct {
	noCore  bool            // the shape omits the core
	members map[string]bool // of the object that the shape shows or extends; nil means all
	fields  [][]bool        // by source, fields; nil means that the source is not selected
}

// Narrow returns the rule for a request: r itself or, if the query of target selects members, a copy of it that reads
// and returns only these. legacyTarget is the path and the query for the legacy service; empty if they do not change.
// If unknown is not empty, the request must be rejected with [Rule.RejectSelection].
//
// The answer is that of r without what was not selected. What surrounds the object with the extensions (a list, or the
// parents of MergeAt) stays, and so do the errors of what was selected. A response that passes is complete.
func (r *Rule) Narrow(target string) (rule *Rule, legacyTarget string, unknown []string) {
	if r.Select.Param == "" {
		return r, "", nil
	}
	path, query, _ := strings.Cut(target, "?")
	names, others := parseSelection(query, r.Select.Param)
	if names == nil {
		return r, "", nil
	}
	s, unknown := r.resolve(names)
	if len(unknown) > 0 && !r.Select.IgnoreUnknown {
		return r, "", unknown
	}
	if !r.Select.Forward {
		legacyTarget = path
		if others != nil {
			legacyTarget += "?" + strings.Join(others, "&")
		}
	}
	return r.narrow(s), legacyTarget, nil
}

// parseSelection returns the names in a query parameter, and the other parameters in the client's spelling. The
// parameter may occur several times, and each value is a list with commas; clients may encode them. Without the
// parameter, names is nil.
func parseSelection(query, param string) (names, others []string) {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if unescape(name) == param {
			names = append(names, strings.Split(unescape(value), ",")...)
		} else {
			others = append(others, pair)
		}
	}
	return names, others
}

// unescape decodes a part of a query. It returns a part with invalid encoding as it is.
func unescape(s string) string {
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}

// maxUnknown is the number of unknown names that a response lists.
const maxUnknown = 20

// maxUnknownLength is the number of bytes of an unknown name that a response lists.
const maxUnknownLength = 100

// resolve returns what names select, and the first of the names that the rule does not have. Members of the core are
// not known before it arrives, so any name of a member selects it.
func (r *Rule) resolve(names []string) (s selection, unknown []string) {
	s = selection{noCore: r.wrapsCore(), members: map[string]bool{}, fields: make([][]bool, len(r.Sources))}
	for _, name := range names {
		isKnown := name == r.Members.Errors || r.selectField(s.fields, name)
		switch member, isMember := r.coreMember(name); {
		case isKnown:
		case r.wrapsCore() && name == r.Members.Core:
			s.noCore, s.members = false, nil
		case isMember:
			s.noCore = false
			if s.members != nil {
				s.members[member] = true
			}
		case len(unknown) < maxUnknown && !slices.Contains(unknown, name):
			unknown = append(unknown, name[:min(len(name), maxUnknownLength)])
		}
	}
	return s, unknown
}

// coreMember returns the member of the core that a name selects.
func (r *Rule) coreMember(name string) (member string, ok bool) {
	if r.wrapsCore() {
		if name, ok = strings.CutPrefix(name, r.Members.Core+"."); !ok {
			return "", false
		}
	}
	return name, name != "" && !strings.Contains(name, ".")
}

// selectField adds an extension or one of its fields to a selection, and reports whether it exists.
func (r *Rule) selectField(selected [][]bool, name string) bool {
	for i, source := range r.Sources {
		field, isField := strings.CutPrefix(name, source.Name+".")
		if !isField && name != source.Name {
			continue
		}
		known := false
		for n, f := range source.Fields {
			if !isField || f.Name == field {
				if selected[i] == nil {
					selected[i] = make([]bool, len(source.Fields))
				}
				selected[i][n], known = true, true
			}
		}
		if known {
			return true
		}
	}
	return false
}

// wrapsCore reports whether the core is a member of the answer, and not the answer itself.
func (r *Rule) wrapsCore() bool { return r.shape().head != nil }

func (r *Rule) narrow(s selection) *Rule {
	narrowed := *r
	narrowed.selected = &s
	narrowed.Sources, narrowed.plan.keys = nil, nil
	for i, source := range r.Sources {
		if s.fields[i] != nil {
			narrowed.Sources = append(narrowed.Sources, source.narrow(s.fields[i]))
			narrowed.plan.keys = append(narrowed.plan.keys, r.plan.keys[i])
		}
	}
	return &narrowed
}

// narrow returns a source with the selected fields only: s itself if these are all.
func (s *Source) narrow(selected []bool) *Source {
	if !slices.Contains(selected, false) {
		return s
	}
	narrowed := *s
	narrowed.Fields = nil
	bits := make([]byte, (len(selected)+7)/8)
	for i, f := range s.Fields {
		if selected[i] {
			narrowed.Fields = append(narrowed.Fields, f)
			bits[i/8] |= 1 << (i % 8)
		}
	}
	narrowed.id = sourceID{whole: s, fields: string(bits)}
	return &narrowed
}

// sourceID identifies what a source reads. Sources of several requests are equal if they have the same fields of the
// same source, and share commands.
type sourceID struct {
	whole  *Source
	fields string // bits by index in whole.Fields; empty means all
}

// Whole returns the source of the rule, with all its fields. It is s itself if s has all of them.
func (s *Source) Whole() *Source { return s.identity().whole }

// Project returns what a read of s returns for a document, byte for byte, from what a read of [Source.Whole] returned.
// It fails if that is not an extension with all fields.
func (s *Source) Project(whole []byte) ([]byte, error) {
	if s.id.whole == nil {
		return whole, nil
	}
	projected, start := make([]byte, 0, len(whole)), 0 // index of the delimiter before a member
	for i := range s.id.whole.Fields {
		end := memberEnd(whole, start)
		if end < 0 {
			return nil, errors.New("an extension without all fields")
		}
		if s.id.fields[i/8]>>(i%8)&1 == 1 {
			projected = append(projected, whole[start:end]...)
			projected[len(projected)-(end-start)] = ','
		}
		start = end
	}
	projected[0] = '{'
	return append(projected, '}'), nil
}

// memberEnd returns the index of the delimiter after the member of a JSON object, from that before it; -1 without one.
func memberEnd(object []byte, start int) int {
	depth, isText := 0, false
	for i := start + 1; i < len(object); i++ {
		c := object[i]
		switch {
		case isText && c == '\\':
			i++
		case c == '"':
			isText = !isText
		case isText:
		case depth == 0 && (c == ',' || c == '}'):
			return i
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
	}
	return -1
}

func (s *Source) identity() sourceID {
	if s.id.whole == nil {
		return sourceID{whole: s}
	}
	return s.id
}

// cut returns a core with the selected members only, each byte for byte. It changes the units of core, which must not
// be used afterwards.
func (r *Rule) cut(core Core) Core {
	if r.selected == nil || r.selected.members == nil {
		return core
	}
	cut := Core{JSON: make([]byte, 0, len(core.JSON)), units: core.units}
	done := 0
	for i := range cut.units {
		u := &cut.units[i]
		start, end := u.start, u.end
		cut.JSON = append(cut.JSON, core.JSON[done:start]...)
		done = end
		u.start = len(cut.JSON)
		if !r.selected.noCore {
			cut.JSON = append(append(cut.JSON, core.JSON[start:u.shown.start]...), '{')
			u.isEmpty = len(u.shown.selected) == 0
			for n, member := range u.shown.selected {
				if n > 0 {
					cut.JSON = append(cut.JSON, ',')
				}
				cut.JSON = append(cut.JSON, bytes.TrimLeft(core.JSON[member[0]:member[1]], " \t\r\n,")...)
			}
			u.insert = len(cut.JSON)
			cut.JSON = append(append(cut.JSON, '}'), core.JSON[u.shown.end:end]...)
		}
		u.end = len(cut.JSON)
	}
	cut.JSON = append(cut.JSON, core.JSON[done:]...)
	return cut
}

// RejectSelection returns the response to a request that selects unknown names: a 400 with the problem in JSON
// (RFC 9457). It lists the first of the unknown names.
func (r *Rule) RejectSelection(unknown []string) Answer {
	quoted := make([]string, len(unknown))
	for i, name := range unknown {
		quoted[i] = strconv.Quote(name)
	}
	body, _ := json.Marshal(struct { // strings cannot fail
		Title   string   `json:"title"`
		Status  int      `json:"status"`
		Detail  string   `json:"detail"`
		Unknown []string `json:"unknown"`
		Known   []string `json:"known"`
	}{
		"Bad Request", 400, "unknown names in the query parameter " + r.Select.Param + ": " + strings.Join(quoted, ", "),
		unknown, r.Selectable(),
	})
	return Answer{
		Status: 400, Type: "application/problem+json", Body: body,
		Outcome: Outcome{Disposition: Rejected, Reason: UnknownMember},
	}
}

// Selectable returns the names that a request can select, as far as the rule knows them: a core may have more members.
func (r *Rule) Selectable() (names []string) {
	prefix := ""
	if r.wrapsCore() {
		prefix = r.Members.Core + "."
		names = append(names, r.Members.Core)
	}
	for _, f := range r.Core {
		rest, isInside := strings.CutPrefix(string(f.At), string(r.MergeAt)+"/")
		if !isInside {
			continue
		}
		name := prefix + Pointer("/" + rest).Names()[0]
		if _, ok := r.coreMember(name); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, s := range r.Sources {
		names = append(names, s.Name)
		for _, f := range s.Fields {
			names = append(names, s.Name+"."+f.Name)
		}
	}
	return names
}
