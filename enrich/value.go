package enrich

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Type is what a parameter, a member of the core or a field of a document is.
type Type uint8

const (
	Int64    Type = iota + 1 // an integer; in a document a whole double is one, too
	Number                   // a double; what MongoDB holds as another number, bool or numeric string is converted
	String                   // a string
	Bool                     // true or false
	Date                     // a date, as an ISO 8601 string in UTC
	ObjectID                 // an ObjectId, as 24 hexadecimal digits in lower case
	UUID                     // a UUID (binary of subtype 4), in its canonical spelling in lower case (RFC 9562, section 4)
	Strings                  // an array of nothing but strings
	Array                    // an array
	Object                   // an object, or document
	Any                      // whatever there is
)

// Value is what a document is looked for by: an [Int64], a [String], a [Bool], an [ObjectID] or a [UUID]. Values can be
// compared with ==.
type Value struct {
	Type Type
	Int  int64  // of an Int64; 1 for a Bool that is true
	Text string // of the others, as Type spells it
}

// Key is what a document is looked for by: a value for each condition of a Source, in their order.
type Key []Value

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
	case Int64:
		return strconv.AppendInt(dst, v.Int, 10)
	case Bool:
		return strconv.AppendBool(dst, v.Int == 1)
	default:
		return appendQuoted(dst, v.Text)
	}
}

// ParseParam reads a parameter of a path or a query. Only one spelling of each value is taken, and nothing is decoded:
// languages disagree about "007", "+5" or "%37", so that the legacy service and MongoDB could be asked for two different
// things. A string is made of unreserved characters (RFC 3986, section 2.3), and is not "." or "..".
func ParseParam(t Type, s string) (Value, bool) {
	switch t {
	case Int64:
		n, ok := parseCanonicalInt64(s)
		return Value{Type: Int64, Int: n}, ok
	case String:
		return Value{Type: String, Text: s}, s != "" && s != "." && s != ".." && strings.IndexFunc(s, isReserved) < 0
	case ObjectID, UUID:
		return Value{Type: t, Text: s}, isCanonicalID(t, s)
	default:
		return Value{}, false
	}
}

func parseCanonicalInt64(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, false
	}
	var canonical [20]byte // len("-9223372036854775808")
	return n, string(strconv.AppendInt(canonical[:0], n, 10)) == s
}

func isReserved(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~", c)
}

// isCanonicalID reports whether s is an ObjectID or a UUID in lower case.
func isCanonicalID(t Type, s string) bool {
	digits := s
	if t == UUID {
		if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return false
		}
		digits = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	} else if len(s) != 24 {
		return false
	}
	_, err := hex.DecodeString(digits)
	return err == nil && strings.ToLower(s) == s
}

// member is what the check of a core notes of a JSON value: its kind, 0 if there is none, and the text of a number or,
// where a rule needs it, of a string.
type member struct {
	kind jsontext.Kind
	text string
}

// is reports whether the value is of a type that a core can have.
func (m member) is(t Type) bool {
	switch t {
	case String:
		return m.kind == '"'
	case Int64:
		return m.kind == '0' && isInteger(m.text)
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

// value returns what the member holds as a type that documents are looked for by.
func (m member) value(t Type) (Value, bool) {
	switch {
	case t == Int64 && m.kind == '0':
		n, _, fits := parseInteger(m.text)
		return Value{Type: Int64, Int: n}, fits
	case t == String && m.kind == '"':
		return Value{Type: String, Text: m.text}, true
	case (t == ObjectID || t == UUID) && m.kind == '"':
		text := strings.ToLower(m.text)
		return Value{Type: t, Text: text}, isCanonicalID(t, text)
	default:
		return Value{}, false
	}
}
