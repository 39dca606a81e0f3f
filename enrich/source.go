package enrich

// Source says where one extension is read, and which fields of its documents leave.
type Source struct {
	Name       string // the member of the answer that holds the extension
	Database   string
	Collection string
	Where      []Condition // all must hold
	Fields     []Field     // in the order of the output; fields that are not named never leave
	Failed     string      // what a client reads in "errors" when the extension could not be had
}

// Condition is a field of the documents and what it must equal. It is a value in MongoDB's sense, never an operator.
type Condition struct {
	Field string // a path in the document, with dots
	From  From
	Param int     // FromParam: index in the rule's Params
	At    Pointer // FromCore
	Type  Type    // FromCore: one of ParamTypes
	Fixed Value   // FromRule
}

// From says where the value of a condition comes from.
type From uint8

const (
	FromParam From = iota // a parameter of the request
	FromCore              // a member of the core, so that the read begins when that is there
	FromRule              // the rule itself
)

// Field is one field of an extension.
type Field struct {
	Name    string // of the member
	Path    string // of the field in the document, with dots
	Type    Type
	Default string // JSON, for a document without the field; empty if the field must be there. Unused if the field is a Condition's.
}

// Default is the extension of a key that has no document: every field has its default. If one has none, there is no
// such extension, and the result is null.
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

// KeyOf returns what the key says of a field.
func (s *Source) KeyOf(f Field, key Key) (Value, bool) {
	for i, c := range s.Where {
		if c.Field == f.Path {
			return key[i], true
		}
	}
	return Value{}, false
}

// isLate reports whether the core must be there before the source can be read.
func (s *Source) isLate() bool {
	for _, c := range s.Where {
		if c.From == FromCore {
			return true
		}
	}
	return false
}
