package mongostore

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
)

// rawValue returns the BSON of a value.
func rawValue(t *testing.T, value any) bson.RawValue {
	t.Helper()
	typ, data, err := bson.MarshalValue(value)
	if err != nil {
		t.Fatal(err)
	}
	return bson.RawValue{Type: typ, Value: data}
}

// TestNumbersAreExact: a number field has the exact value of the document.
func TestNumbersAreExact(t *testing.T) {
	long := strings.Repeat("1234567890", 20)
	tests := []struct {
		value any
		want  string
	}{
		{int32(3), "3.0"},
		{int32(math.MinInt32), "-2147483648.0"},
		{int64(3), "3.0"},
		{int64(0), "0.0"},
		{int64(1 << 53), "9007199254740992.0"},
		{int64(-1 << 53), "-9007199254740992.0"},
		{int64(1<<53 + 1), "9007199254740993"},
		{int64(-1<<53 - 1), "-9007199254740993"},
		{int64(861658154331799551), "861658154331799551"},
		{int64(math.MaxInt64), "9223372036854775807"},
		{int64(math.MinInt64), "-9223372036854775808"},
		{25.9, "25.9"},
		{2.0, "2.0"},
		{math.Copysign(0, -1), "-0.0"},
		{0.30000000000000004, "0.30000000000000004"},
		{float64(1 << 53), "9007199254740992.0"},
		{1e15, "1000000000000000.0"},
		{1e16, "1e+16"},
		{1e-5, "1e-05"},
		{math.SmallestNonzeroFloat64, "5e-324"},
		{math.Inf(1), "null"},
		{true, "1.0"},
		{false, "0.0"},
		{"3", "3.0"},
		{"3.5", "3.5"},
		{" +0_7 ", "7.0"},
		{"1e3", "1000.0"},
		{"-0", "-0.0"},
		{"9007199254740992", "9007199254740992.0"},
		{"9007199254740993", "9007199254740993"},
		{"-861658154331799551", "-861658154331799551"},
		{" 861_658_154_331_799_551\n", "861658154331799551"},
		{"+0000018446744073709551617", "18446744073709551617"},
		{long, long},
		{"99999999999999999999.5", "1e+20"},
		{strings.Repeat("9", 400), "null"}, // infinity, as 1e400
		{bson.Symbol("9007199254740993"), "9007199254740993"},
	}
	for _, test := range tests {
		got, err := appendField(nil, enrich.Number, rawValue(t, test.value))
		if err != nil || string(got) != test.want || !json.Valid(got) {
			t.Errorf("%T %v: %s, %v; want %s", test.value, test.value, got, err, test.want)
		}
	}
	decimal, err := bson.ParseDecimal128("3.5")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []any{decimal, bson.Null{}, bson.DateTime(3), "high", "0x10", "1__0", bson.A{3}} {
		if got, err := appendField(nil, enrich.Number, rawValue(t, value)); !errors.Is(err, enrich.ErrWrongType) {
			t.Errorf("%T %v: %s, %v", value, value, got, err)
		}
	}
}

func TestParseDouble(t *testing.T) {
	for text, want := range map[string]float64{
		"3.5": 3.5, " 3.5\n": 3.5, "-1e3": -1000, "+2": 2, ".5": 0.5, "5.": 5, "1_000.5": 1000.5, "1e400": math.Inf(1),
		"-INF": math.Inf(-1), "Infinity": math.Inf(1),
	} {
		if got, _, ok := parseDouble(text); !ok || got != want {
			t.Errorf("%q: %v, %t; want %v", text, got, ok, want)
		}
	}
	if got, _, ok := parseDouble("NaN"); !ok || !math.IsNaN(got) {
		t.Errorf("NaN: %v, %t", got, ok)
	}
	for _, text := range []string{"", " ", "high", "3,5", "0x10", "1__0", "_1", "1_", "1e", "--1", "3.5 km", "1p3", "٣"} {
		if got, _, ok := parseDouble(text); ok {
			t.Errorf("%q is parsed as %v", text, got)
		}
	}
}

// TestDecimalsAreExact: a decimal field is a string with the text of a Decimal128 or of an integer, so that no client
// rounds it.
func TestDecimalsAreExact(t *testing.T) {
	decimal := func(text string) bson.Decimal128 {
		d, err := bson.ParseDecimal128(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, test := range []struct {
		value any
		want  string
	}{
		{decimal("19.90"), `"19.90"`},
		{decimal("-0.1"), `"-0.1"`},
		{decimal("9999999999999999999999999999999999"), `"9999999999999999999999999999999999"`},
		{decimal("0.1000000000000000055511151231257827"), `"0.1000000000000000055511151231257827"`},
		{decimal("1E+6000"), `"1E+6000"`},
		{decimal("NaN"), `"NaN"`},
		{int32(20), `"20"`},
		{int64(math.MaxInt64), `"9223372036854775807"`},
		{20.0, `"20"`}, // as mongosh stores 20
	} {
		got, err := appendField(nil, enrich.Decimal, rawValue(t, test.value))
		if err != nil || string(got) != test.want {
			t.Errorf("%T %v: %s, %v; want %s", test.value, test.value, got, err, test.want)
		}
	}
	for _, value := range []any{19.9, "19.90", true, bson.Null{}, bson.A{3}} {
		if got, err := appendField(nil, enrich.Decimal, rawValue(t, value)); !errors.Is(err, enrich.ErrWrongType) {
			t.Errorf("%T %v: %s, %v", value, value, got, err)
		}
	}
}
