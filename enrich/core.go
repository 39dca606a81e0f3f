package enrich

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep the objects and arrays of a core may be nested. It is the limit of the parsers that clients
// have: a core that they could not read counts as failed.
const maxDepth = 1000

// Core is the legacy half of a composite, or the reason why there is none.
type Core struct {
	JSON   []byte // one valid JSON object, byte for byte as the legacy service wrote it
	Key    int64  // value of the rule's CoreKey, if HasKey
	HasKey bool   // the rule's CoreKey is an integer that is exact in int64
	Failed Reason // empty if there is a core
	Err    error  // what was wrong with it; nil if the failure is not of the body's making
}

// FailedCore is the core of a response that has none.
func FailedCore(why Reason) Core { return Core{Failed: why} }

// ParseCore takes the core out of the body of a legacy response. The body must be one complete JSON object in UTF-8
// (RFC 8259), after an optional byte order mark and between optional white space, and have the members that the rule
// asks for. The result's JSON is a part of body unless that was compressed. ok is false if the body, decoded, is over
// the rule's CoreLimit.
func (r *Rule) ParseCore(body []byte, contentEncoding string) (core Core, ok bool) {
	body, err := decode(body, contentEncoding, r.CoreLimit)
	switch {
	case errors.Is(err, errTooLarge):
		return Core{}, false
	case err != nil:
		return Core{Failed: CoreInvalid, Err: err}, true
	}
	body = bytes.TrimPrefix(body, []byte(byteOrderMark))
	body = bytes.Trim(body, " \t\r\n")
	if !utf8.Valid(body) {
		return Core{Failed: CoreInvalid, Err: errNotUTF8}, true
	}
	core = Core{JSON: body}
	if err := r.checkCore(&core, bytes.NewBuffer(body)); err != nil {
		return Core{Failed: CoreInvalid, Err: err}, true
	}
	return core, true
}

const byteOrderMark = "\xef\xbb\xbf"

var errNotUTF8 = errors.New("not UTF-8")

// checkCore validates the JSON text in body, which is known to be UTF-8, and sets the core's key.
func (r *Rule) checkCore(core *Core, body io.Reader) error {
	// A lone surrogate escape is "invalid UTF-8" to jsontext, but passes as it stands. Of duplicate names the last one
	// counts.
	dec := jsontext.NewDecoder(body, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if token, err := dec.ReadToken(); err != nil {
		return err
	} else if token.Kind() != '{' {
		return errors.New("not an object")
	}
	fits := make([]bool, len(r.Core))
	for dec.PeekKind() != '}' {
		nameToken, err := dec.ReadToken()
		if err != nil {
			return err
		}
		name := nameToken.String()
		value, err := readValue(dec)
		if err != nil {
			return err
		}
		for i, f := range r.Core {
			if f.Name == name {
				fits[i] = value.is(f.Type)
			}
		}
		if name == r.CoreKey {
			core.Key, core.HasKey = value.int64()
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("more after the object")
	}
	for i, f := range r.Core {
		if !fits[i] {
			return errors.New("member " + strconv.Quote(f.Name) + " is missing or of a wrong type")
		}
	}
	return nil
}

// scalar is the first token of a JSON value: its kind, and its text if it is a number.
type scalar struct {
	kind   jsontext.Kind
	number string
}

// readValue reads over the next value.
func readValue(dec *jsontext.Decoder) (scalar, error) {
	outer := dec.StackDepth()
	token, err := dec.ReadToken()
	if err != nil {
		return scalar{}, err
	}
	first := scalar{kind: token.Kind()}
	if first.kind == '0' {
		first.number = token.String()
	}
	for dec.StackDepth() > outer {
		if dec.StackDepth() > maxDepth {
			return scalar{}, errors.New("nested too deep")
		}
		if _, err := dec.ReadToken(); err != nil {
			return scalar{}, err
		}
	}
	return first, nil
}

func (s scalar) is(t Type) bool {
	switch t {
	case String:
		return s.kind == '"'
	case Int64:
		return s.kind == '0' && isInteger(s.number)
	default:
		return false
	}
}

// isInteger reports whether a JSON number is an integer. It may be spelled 7, 7.0 or 7e0, and be of any size, but one
// with a fraction or an exponent must fit a double, as it must for every client.
func isInteger(number string) bool {
	if _, integer, _ := parseInteger(number); !integer {
		return false
	}
	f, err := strconv.ParseFloat(number, 64)
	return !strings.ContainsAny(number, ".eE") || err == nil && !math.IsInf(f, 0)
}

// int64 returns the value of an integer, if int64 holds it.
func (s scalar) int64() (int64, bool) {
	if s.kind != '0' {
		return 0, false
	}
	n, _, fits := parseInteger(s.number)
	return n, fits
}

// parseInteger reads a JSON number digit by digit: a double would take 9007199254740993.0 for its neighbour.
func parseInteger(number string) (n int64, integer, fits bool) {
	mantissa, exponent := number, 0
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(number[i+1:]); err != nil {
			return 0, false, false // an exponent that is no int is one of a number that is no double
		}
		mantissa = number[:i]
	}
	sign := ""
	if rest, negative := strings.CutPrefix(mantissa, "-"); negative {
		sign, mantissa = "-", rest
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	// The value is 0.digits times ten to the power of point.
	digits := strings.TrimLeft(whole+fraction, "0")
	point := exponent + len(whole) - (len(whole) + len(fraction) - len(digits))
	digits = strings.TrimRight(digits, "0")
	switch {
	case digits == "":
		return 0, true, true
	case len(digits) > point:
		return 0, false, false
	case point > len("9223372036854775807"):
		return 0, true, false
	}
	n, err := strconv.ParseInt(sign+digits+strings.Repeat("0", point-len(digits)), 10, 64)
	return n, true, err == nil
}
