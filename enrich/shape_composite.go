package enrich

import "fmt"

// ShapeComposite is an object with the core, the extensions and the errors as members.
const ShapeComposite Shape = 0

func composite() shape {
	return shape{
		name:    "composite",
		about:   "an object with the core, the extensions and the errors",
		options: []string{OptionCoreMember, OptionContentType},
		sketch: func(r *Rule) string {
			return fmt.Sprintf("{%q: …, %s, %q: […]}", r.Members.Core, r.sketchExtensions(), r.Members.Errors)
		},
		head: func(dst []byte, r *Rule) []byte { return append(appendQuoted(append(dst, '{'), r.Members.Core), ':') },
		tail: func(dst []byte, p parts) []byte { return append(p.appendErrors(p.appendExtensions(dst, false)), '}') },
	}
}
