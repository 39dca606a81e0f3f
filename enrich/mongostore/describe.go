package mongostore

import (
	"fmt"
	"strings"

	"weft/enrich"
)

// Describe returns the read of a source as a line for mongosh. A value from the core is shown as its pointer.
func Describe(src *enrich.Source, params []enrich.Value, isList bool) string {
	conditions := make([]string, len(src.Where))
	for i, c := range src.Where {
		value := "<" + string(c.At) + " of the core>"
		if isList {
			value = "{$in: [<" + string(c.At) + " of each element>]}"
		}
		if v, ok := c.Value(params); ok {
			value = mongosh(v)
		}
		conditions[i] = quoteJS(c.Field) + ": " + value
	}
	var fields []string
	for _, e := range projection(src) {
		fields = append(fields, fmt.Sprintf("%s: %v", quoteJS(e.Key), e.Value))
	}
	call := "findOne"
	if isList {
		call = "find"
	}
	return fmt.Sprintf("db.getSiblingDB(%s).getCollection(%s).%s({%s}, {%s})", quoteJS(src.Database),
		quoteJS(src.Collection), call, strings.Join(conditions, ", "), strings.Join(fields, ", "))
}

// mongosh returns a value in the syntax of mongosh.
func mongosh(v enrich.Value) string {
	switch {
	case v.Type == enrich.Int64:
		return "NumberLong(" + quoteJS(v.String()) + ")"
	case v.Type == enrich.Bool:
		return v.String()
	case v.Type == enrich.ObjectID:
		return "ObjectId(" + quoteJS(v.Text) + ")"
	case v.Type == enrich.UUID:
		return "UUID(" + quoteJS(v.Text) + ")"
	case v.Type.IsUUID():
		if binary, ok := uuidBinary(v); ok {
			return fmt.Sprintf("HexData(%d, '%x')", binary.Subtype, binary.Data)
		}
	}
	return quoteJS(v.Text)
}
