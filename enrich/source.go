package enrich

import (
	"slices"
	"time"
)

// Source defines the documents and the fields of an extension.
type Source struct {
	Name       string // of the member with the extension
	Database   string
	Collection string
	Where      []Condition // all must match
	Fields     []Field     // in output order; other fields are not returned
	Failed     string      // message in "errors" if the extension fails

	Cache *CachePolicy // nil if each read is a read of the database

	Description string // for clients

	id      sourceID      // zero if the source is from a rule, with all its fields
	awaited *awaitedShare // of its reads; set by Rule.Ready
}

// CachePolicy says how many results of reads are kept, including that there is no document, and how long they are used.
type CachePolicy struct {
	MaxSize      int           // bytes of memory, approximately
	MaxAge       time.Duration // since the read
	StaleIfError time.Duration // after MaxAge: only if the database cannot be read
}

// Condition is a field of a document and the value that it must equal. The value is never a MongoDB operator.
type Condition struct {
	Field string // dotted path in the document
	From  From
	Param int     // FromParam: index in the rule's Params
	At    Pointer // FromCore
	Type  Type    // of the value
	Fixed Value   // FromRule
}

// From is the origin of the value of a condition.
type From uint8

const (
	FromParam From = iota // a parameter of the request
	FromCore              // a member of the core; the read starts when the core has arrived
	FromRule              // a fixed value in the rule
)

// Value returns the value of a condition, and whether it is known without the core.
func (c Condition) Value(params []Value) (v Value, ok bool) {
	switch c.From {
	case FromParam:
		return params[c.Param], true
	case FromRule:
		return c.Fixed, true
	default:
		return Value{}, false
	}
}

// Field is one field of an extension.
type Field struct {
	Name    string // of the member
	Path    string // dotted path in the document
	Type    Type
	Default string // JSON, for a document without the field; empty if it is required. Unused for a Condition's field.

	Description string // for clients
}

// Default returns the extension for a key without a document: each field has its default. If a field has none, the
// result is null.
func (s *Source) Default(key Key) []byte {
	b := []byte{'{'}
	for i, f := range s.Fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendQuoted(b, f.Name), ':')
		value, isKey := s.KeyOf(f, key)
		switch {
		case isKey:
			b = value.appendJSON(b)
		case f.Default != "":
			b = append(b, f.Default...)
		default:
			return []byte("null")
		}
	}
	return append(b, '}')
}

// KeyOf returns the value of a field in the key, and whether the field is a Condition's.
func (s *Source) KeyOf(f Field, key Key) (Value, bool) {
	for i, c := range s.Where {
		if c.Field == f.Path {
			return key[i], true
		}
	}
	return Value{}, false
}

// isLate reports whether the key depends on the core.
func (s *Source) isLate() bool {
	return slices.ContainsFunc(s.Where, func(c Condition) bool { return c.From == FromCore })
}
