package mongostore

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// maxDoubleInteger is 2^53: doubles represent all integers up to it.
const maxDoubleInteger = 1 << 53

// appendNumber appends v as a number: a number, a bool (1.0 or 0.0), or a numeric string. It reports whether v is one
// of these. All digits are kept: an integer beyond the exact range of doubles is written as an integer, all others as
// doubles, such as 3.0. A Decimal128 is not accepted.
func appendNumber(dst []byte, v bson.RawValue) ([]byte, bool) {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		n, ok := asInt64(v)
		return appendInteger(dst, n), ok
	case bson.TypeDouble:
		f, ok := v.DoubleOK()
		return appendDouble(dst, f), ok
	case bson.TypeBoolean:
		b, ok := v.BooleanOK()
		if b {
			return append(dst, "1.0"...), ok
		}
		return append(dst, "0.0"...), ok
	}
	s, ok := asString(v)
	if !ok {
		return dst, false
	}
	return appendNumericString(dst, s)
}

// appendInteger appends an integer as a double: with a fraction if a double represents it exactly, else without.
func appendInteger(dst []byte, n int64) []byte {
	dst = strconv.AppendInt(dst, n, 10)
	if -maxDoubleInteger <= n && n <= maxDoubleInteger {
		dst = append(dst, ".0"...)
	}
	return dst
}

// appendDouble appends the shortest decimal that parses to f, with a fraction or an exponent, which distinguishes it
// from an integer. NaN and the infinities, which JSON lacks, become null.
func appendDouble(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if f == math.Trunc(f) {
		dst = append(dst, ".0"...)
	}
	return dst
}

// appendNumericString appends the number in s, and reports whether s is a number. An integer keeps all its digits.
func appendNumericString(dst []byte, s string) ([]byte, bool) {
	f, text, ok := parseDouble(s)
	digits := strings.TrimLeft(text, "+-")
	isInteger := ok && strings.Trim(digits, "0123456789") == ""
	if !isInteger || f == 0 || math.IsInf(f, 0) {
		return appendDouble(dst, f), ok
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return appendInteger(dst, n), true
	}
	if f < 0 {
		dst = append(dst, '-')
	}
	return append(dst, strings.TrimLeft(digits, "0")...), true
}

// parseDouble parses a decimal number, "inf", "infinity" or "nan" in any case. As in Python, and so in the aggregator
// that weft replaces, s may have surrounding white space and single underscores between digits; text is s without them.
// A number that is too large is an infinity.
func parseDouble(s string) (f float64, text string, ok bool) {
	text = strings.TrimSpace(s)
	if strings.ContainsAny(text, "xXpP") { // hexadecimal, which Go accepts and Python does not
		return 0, text, false
	}
	if strings.Contains(text, "_") {
		if slices.Contains(strings.Split(text, "_"), "") {
			return 0, text, false
		}
		text = strings.ReplaceAll(text, "_", "")
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, text, err == nil || errors.Is(err, strconv.ErrRange)
}

// asInt64 returns the integer value of v: an int32, an int64 or a double without a fraction.
func asInt64(v bson.RawValue) (int64, bool) {
	switch v.Type {
	case bson.TypeInt32:
		n, ok := v.Int32OK()
		return int64(n), ok
	case bson.TypeInt64:
		return v.Int64OK()
	case bson.TypeDouble:
		// -2^63 is a double, but 2^63-1 is not: the next double above it is 2^63.
		f, ok := v.DoubleOK()
		if ok && f == math.Trunc(f) && f >= math.MinInt64 && f < math.MaxInt64 {
			return int64(f), true
		}
	}
	return 0, false
}
