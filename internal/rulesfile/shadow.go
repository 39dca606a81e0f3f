package rulesfile

import (
	"slices"
	"strconv"

	"weft/enrich"
)

// warnShadowed warns about rules that never match because an earlier rule matches all their requests.
func (b *builder) warnShadowed(rules []*enrich.Rule) {
	for i, rule := range rules {
		n := slices.IndexFunc(rules[:i], func(earlier *enrich.Rule) bool { return covers(earlier, rule) })
		if n >= 0 {
			b.warn([]string{"rules", strconv.Itoa(i), "match"},
				"never matches: rule %q above matches all its requests; move this rule before it", rules[n].Name)
		}
	}
}

// covers reports whether a matches every request that b matches.
func covers(a, b *enrich.Rule) bool {
	return containsAll(a.Methods, b.Methods) && containsAll(b.Query, a.Query) && (a.Host == "" || a.Host == b.Host) &&
		slices.EqualFunc(a.Path.Segments(), b.Path.Segments(), coversSegment)
}

func containsAll[T comparable](all, some []T) bool {
	return !slices.ContainsFunc(some, func(e T) bool { return !slices.Contains(all, e) })
}

func coversSegment(a, b enrich.Segment) bool {
	switch {
	case !a.HasParam:
		return !b.HasParam && a.Prefix == b.Prefix
	case !b.HasParam:
		template, err := enrich.ParseTemplate("/" + a.Prefix + "{p:" + a.Param.Type.String() + "}" + a.Suffix)
		_, matches := template.Match(nil, "/"+b.Prefix)
		return err == nil && matches
	default:
		isWider := a.Param.Type == b.Param.Type || a.Param.Type == enrich.String
		return isWider && a.Prefix == b.Prefix && a.Suffix == b.Suffix
	}
}
