package enrich

import (
	"fmt"
	"slices"
	"strings"
)

// ShapeComposite is an object with the core, the extensions and the errors as members.
const ShapeComposite Shape = 0

func composite() shape {
	return shape{
		name:    "composite",
		about:   "an object with the core, the extensions and the errors",
		options: []string{OptionCoreMember, OptionContentType},
		sketch: func(r *Rule) string {
			members := []string{fmt.Sprintf("%q: %s", r.Members.Core, r.sketchCore()), r.sketchExtensions()}
			if r.omitsCore() {
				members = members[1:]
			}
			members = append(members, fmt.Sprintf("%q: […]", r.Members.Errors))
			return "{" + strings.Join(slices.DeleteFunc(members, func(s string) bool { return s == "" }), ", ") + "}"
		},
		head: func(dst []byte, r *Rule) []byte {
			if dst = append(dst, '{'); r.omitsCore() {
				return dst
			}
			return append(appendQuoted(dst, r.Members.Core), ':')
		},
		tail: func(dst []byte, p parts) []byte {
			return append(p.appendErrors(p.appendExtensions(dst, p.rule.omitsCore())), '}')
		},
	}
}
