package enrich

import (
	"fmt"
	"strings"
)

// ShapeMerge is the core with the extensions as additional members, and the errors if there are any. An invalid core
// passes.
const ShapeMerge Shape = 1

func merge() shape {
	return shape{
		name: "merge",
		about: "the core with the extensions as additional members, and the errors if there are any; " +
			"an invalid core passes",
		options: []string{OptionMergeAt},
		sketch: func(r *Rule) string {
			where := "the object"
			if r.MergeAt != "" {
				where += fmt.Sprintf(" at %s", r.MergeAt)
			}
			if r.selected != nil {
				where += ", reduced to " + r.sketchCore() + ","
			}
			if len(r.Sources) == 0 {
				return strings.TrimSuffix(where, ",")
			}
			return fmt.Sprintf("%s with %s, and %q if there are any", where, r.sketchExtensions(), r.Members.Errors)
		},
		object: func(r *Rule) Pointer { return r.MergeAt },
		adds: func(r *Rule) []string {
			names := []string{r.Members.Errors}
			for _, s := range r.Sources {
				names = append(names, s.Name)
			}
			return names
		},
		members: func(dst []byte, p parts, isEmpty bool) []byte {
			dst = p.appendExtensions(dst, isEmpty)
			if p.hasMissing() {
				dst = p.appendErrors(dst)
			}
			return dst
		},
	}
}
