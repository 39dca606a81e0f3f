package enrich

import (
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Type is the type of a parameter, of a member of the core, or of a field of a document.
type Type uint8

const (
	Int64      Type = iota + 1 // an integer; in a document also a double without a fraction
	Number                     // a number; from MongoDB also a bool or a numeric string, converted without loss of digits
	Decimal                    // a Decimal128 or an Int64 of a document; in JSON a string with all its digits
	String                     // a string
	Bool                       // true or false
	Date                       // a date; in JSON an ISO 8601 string in UTC
	ObjectID                   // an ObjectId; as text 24 hexadecimal digits
	UUID                       // binary of subtype 4; as text in canonical form (RFC 9562, section 4)
	UUIDCSharp                 // a UUID as written by old drivers for C#: binary of subtype 3, in a different byte order
	UUIDJava                   // the same for Java
	UUIDPython                 // the same for Python, in the byte order of UUID
	Strings                    // an array of strings
	Array                      // an array
	Object                     // an object or document
	Any                        // any value
)

// ParamTypes returns the types of parameters, and of members of the core that are keys.
func ParamTypes() []Type {
	return []Type{Int64, String, UUID, UUIDCSharp, UUIDJava, UUIDPython, ObjectID}
}

// CoreTypes returns the types of a [CoreField].
func CoreTypes() []Type { return []Type{Int64, Number, String, Bool, Object, Array, Any} }

// FieldTypes returns the types of a [Field]: all types.
func FieldTypes() []Type {
	return []Type{
		Int64, Number, Decimal, String, Bool, Date, ObjectID, UUID, UUIDCSharp, UUIDJava, UUIDPython, Strings, Array,
		Object, Any,
	}
}

// String returns the name of t in rules files and templates.
func (t Type) String() string {
	return [...]string{
		Int64: "int64", Number: "number", Decimal: "decimal", String: "string", Bool: "bool", Date: "date",
		ObjectID: "objectid", UUID: "uuid", UUIDCSharp: "uuid-csharp", UUIDJava: "uuid-java",
		UUIDPython: "uuid-python", Strings: "strings", Array: "array", Object: "object", Any: "any",
	}[t]
}

// IsUUID reports whether t is a UUID type. They differ in BSON, and have the same text.
func (t Type) IsUUID() bool { return t >= UUID && t <= UUIDPython }

// TypeNames returns the names of types for messages: "int64, string".
func TypeNames(types []Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	return strings.Join(names, ", ")
}

// ParseType returns the type with a name.
func ParseType(name string) (t Type, ok bool) {
	types := FieldTypes()
	if i := slices.IndexFunc(types, func(t Type) bool { return t.String() == name }); i >= 0 {
		return types[i], true
	}
	return 0, false
}

// Pattern returns a regular expression (RE2) for the parameters of type t, without a group. It matches all strings that
// [ParseParam] accepts. It also matches integers of 19 digits that overflow an int64, and the strings "." and "..".
func (t Type) Pattern() string {
	switch {
	case t == Int64:
		return `0|-?[1-9][0-9]{0,18}`
	case t == String:
		return `[A-Za-z0-9._~-]+`
	case t == ObjectID:
		return `[0-9a-fA-F]{24}`
	case t.IsUUID():
		return `[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`
	default:
		return ""
	}
}

// ParseParam parses a parameter of a path or query. It accepts one spelling of each value and decodes nothing:
// languages differ in how they read "007", "+5" or "%37", so the legacy service and MongoDB could read different
// things. As the only exception, the digits of an ObjectId or a UUID may be upper case; the Value has lower case. A
// string consists of unreserved characters (RFC 3986, section 2.3), and is not "." or "..". See also [Type.Pattern].
func ParseParam(t Type, s string) (Value, bool) {
	switch {
	case t == Int64:
		n, err := strconv.ParseInt(s, 10, 64)
		var canonical [20]byte // len("-9223372036854775808")
		return Value{Type: Int64, Int: n}, err == nil && string(strconv.AppendInt(canonical[:0], n, 10)) == s
	case t == String:
		ok := s != "" && s != "." && s != ".." && strings.IndexFunc(s, isReserved) < 0
		return Value{Type: String, Text: s}, ok
	case t == ObjectID || t.IsUUID():
		return Value{Type: t, Text: strings.ToLower(s)}, isID(t, s)
	default:
		return Value{}, false
	}
}

func isReserved(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~", c)
}

// isID reports whether s is an ObjectID or a UUID.
func isID(t Type, s string) bool {
	form := "000000000000000000000000"
	if t.IsUUID() {
		form = "00000000-0000-0000-0000-000000000000"
	}
	zero := func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' {
			return '0'
		}
		return c
	}
	return len(s) == len(form) && strings.Map(zero, s) == form
}

// Value is a value of a [Key]. Its Type is [Bool] or one of [ParamTypes]. Values are comparable with ==.
type Value struct {
	Type Type
	Int  int64  // of an Int64; for a Bool, 1 is true
	Text string // of the other types; in lower case for an ObjectID or a UUID
}

// Key identifies a document: one value for each condition of a Source, in their order.
type Key []Value

// Prefix encodes all values of the key but the last.
func (k Key) Prefix() string {
	if len(k) == 1 {
		return ""
	}
	var b strings.Builder
	for _, v := range k[:len(k)-1] {
		text := v.String()
		b.WriteByte(byte(v.Type))
		b.WriteString(strconv.Itoa(len(text))) // text may contain any byte
		b.WriteByte(':')
		b.WriteString(text)
	}
	return b.String()
}

func (v Value) String() string {
	switch v.Type {
	case Int64:
		return strconv.FormatInt(v.Int, 10)
	case Bool:
		return strconv.FormatBool(v.Int == 1)
	default:
		return v.Text
	}
}

func (v Value) appendJSON(dst []byte) []byte {
	switch v.Type {
	case Int64, Bool:
		return append(dst, v.String()...)
	default:
		return appendQuoted(dst, v.Text)
	}
}

// member is a JSON value in a core: its kind, 0 if it is missing, and the text of a number or, if a rule needs it, of a
// string.
type member struct {
	kind jsontext.Kind
	text string
}

// is reports whether the value has the type t of a [CoreField].
func (m member) is(t Type) bool {
	switch t {
	case String:
		return m.kind == '"'
	case Int64:
		_, integer, _ := parseInteger(m.text)
		return m.kind == '0' && integer
	case Number:
		return m.kind == '0'
	case Bool:
		return m.kind == 't' || m.kind == 'f'
	case Object:
		return m.kind == '{'
	case Array:
		return m.kind == '['
	default:
		return m.kind != 0
	}
}

// value converts the member to a parameter type.
func (m member) value(t Type) (Value, bool) {
	switch {
	case t == Int64 && m.kind == '0':
		n, _, fits := parseInteger(m.text)
		return Value{Type: Int64, Int: n}, fits
	case t == String && m.kind == '"':
		return Value{Type: String, Text: m.text}, true
	case (t == ObjectID || t.IsUUID()) && m.kind == '"':
		return ParseParam(t, m.text)
	default:
		return Value{}, false
	}
}
