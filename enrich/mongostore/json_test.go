package mongostore

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestAppendValue(t *testing.T) {
	decimal, err := bson.ParseDecimal128("1.10")
	if err != nil {
		t.Fatal(err)
	}
	id := bson.ObjectID{0x5f, 0x1d, 0x7a, 0x2b, 0x3c, 0x4d, 0x5e, 0x6f, 0x70, 0x81, 0x92, 0xa3}
	day := func(year int) bson.DateTime {
		return bson.NewDateTimeFromTime(time.Date(year, 2, 28, 12, 34, 56, 0, time.UTC))
	}
	tests := []struct {
		value any
		want  string
	}{
		{"ü\"\\\n", `"ü\"\\\n"`},
		{int32(-1), "-1"},
		{int64(1<<53 + 1), "9007199254740993"},
		{int64(math.MinInt64), "-9223372036854775808"},
		{1.0, "1.0"},
		{25.9, "25.9"},
		{math.Copysign(0, -1), "-0.0"},
		{0.0001, "0.0001"},
		{0.00001, "1e-05"},
		{1e15, "1000000000000000.0"},
		{1e16, "1e+16"},
		{math.MaxFloat64, "1.7976931348623157e+308"},
		{math.NaN(), "null"},
		{math.Inf(-1), "null"},
		{true, "true"},
		{bson.Null{}, "null"},
		{bson.Undefined{}, "null"},
		{
			bson.D{{Key: "b", Value: int32(1)}, {Key: "a", Value: bson.A{}}, {Key: "", Value: bson.D{}}},
			`{"b":1,"a":[],"":{}}`,
		},
		{bson.A{int32(1), "x", nil}, `[1,"x",null]`},
		{bson.DateTime(0), `"1970-01-01T00:00:00Z"`},
		{bson.DateTime(-1), `"1969-12-31T23:59:59.999Z"`},
		{bson.DateTime(700), `"1970-01-01T00:00:00.700Z"`},
		{day(0), `"0000-02-28T12:34:56Z"`},
		{day(9999), `"9999-02-28T12:34:56Z"`},
		{day(10000), `"+010000-02-28T12:34:56Z"`},
		{day(-1), `"-000001-02-28T12:34:56Z"`},
		{bson.DateTime(math.MaxInt64), `"+292278994-08-17T07:12:55.807Z"`},
		{bson.DateTime(math.MinInt64), `"-292275055-05-16T16:47:04.192Z"`},
		{id, `"5f1d7a2b3c4d5e6f708192a3"`},
		{bson.Binary{Subtype: 4, Data: []byte("0123456789abcdef")}, `"30313233-3435-3637-3839-616263646566"`},
		{bson.Binary{Subtype: 4, Data: []byte("short")}, `"c2hvcnQ="`},
		{bson.Binary{Subtype: 3, Data: []byte("0123456789abcdef")}, `"MDEyMzQ1Njc4OWFiY2RlZg=="`},
		{bson.Binary{Subtype: 2, Data: []byte("old")}, `"b2xk"`},
		{bson.Binary{}, `""`},
		{decimal, `"1.10"`},
		{bson.NewDecimal128(0x7c00000000000000, 0), `"NaN"`},
		{bson.Regex{Pattern: `a"b`, Options: "im"}, `{"$regularExpression":{"pattern":"a\"b","options":"im"}}`},
		{bson.Timestamp{T: math.MaxUint32, I: 1}, `{"$timestamp":{"t":4294967295,"i":1}}`},
		{bson.DBPointer{DB: "a.b", Pointer: id}, `{"$dbPointer":{"$ref":"a.b","$id":{"$oid":"5f1d7a2b3c4d5e6f708192a3"}}}`},
		{bson.JavaScript("f()"), `"f()"`},
		{bson.CodeWithScope{Code: "g()", Scope: bson.D{{Key: "x", Value: 1}}}, `"g()"`},
		{bson.Symbol("s"), `"s"`},
		{bson.MinKey{}, `{"$minKey":1}`},
		{bson.MaxKey{}, `{"$maxKey":1}`},
	}
	for _, test := range tests {
		typ, data, err := bson.MarshalValue(test.value)
		if err != nil {
			t.Fatal(err)
		}
		got, err := appendValue(nil, bson.RawValue{Type: typ, Value: data}, 0)
		if err != nil || string(got) != test.want || !json.Valid(got) {
			t.Errorf("%T %v: %s, %v; want %s", test.value, test.value, got, err, test.want)
		}
	}
}

func TestAppendValueErrors(t *testing.T) {
	deep := bson.D{}
	for range maxDepth + 1 {
		deep = bson.D{{Key: "d", Value: deep}}
	}
	for name, value := range map[string]any{
		"not UTF-8":              "\xff",
		"a name not in UTF-8":    bson.D{{Key: "\xff", Value: 1}},
		"a pattern not in UTF-8": bson.Regex{Pattern: "\xff"},
		"too deep":               deep,
	} {
		typ, data, err := bson.MarshalValue(value)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := appendValue(nil, bson.RawValue{Type: typ, Value: data}, 0); err == nil {
			t.Errorf("%s: %.100s", name, got)
		}
	}
}

// FuzzAppendValue converts arbitrary bytes as a document. The result is valid JSON, or an error. Where Extended JSON is
// the same, it equals the driver's output.
func FuzzAppendValue(f *testing.F) {
	for _, seed := range []any{
		bson.D{{Key: "a", Value: bson.A{1, "x", 2.5, nil, true}}, {Key: "b", Value: bson.D{{Key: "", Value: int64(1)}}}},
		bson.D{{Key: "d", Value: bson.DateTime(1)}, {Key: "r", Value: bson.Regex{Pattern: "p"}}},
		bson.D{{Key: "u", Value: bson.Undefined{}}, {Key: "b", Value: bson.Binary{Data: []byte("x")}}},
		bson.D{{Key: "c", Value: bson.CodeWithScope{Code: "c", Scope: bson.D{}}}},
	} {
		raw, err := bson.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := appendValue(nil, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc}, 0)
		if err != nil {
			return
		}
		if !json.Valid(got) {
			t.Fatalf("%x becomes %s", doc, got)
		}
		doc = plain(t, doc)
		got, err = appendValue(nil, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc}, 0)
		if err != nil {
			t.Fatalf("%x is part of a valid document: %v", doc, err)
		}
		want, err := bson.MarshalExtJSON(bson.Raw(doc), false, false)
		if err != nil {
			return
		}
		if a, b := canonical(t, got), canonical(t, want); a != b {
			t.Fatalf("%x\n  becomes %s\nthe driver %s", doc, a, b)
		}
	})
}

// plain returns a well-formed document without the values that weft and the driver write differently.
func plain(t *testing.T, doc []byte) []byte {
	out := bson.D{}
	e := elementsOf(doc)
	for e.next() {
		key, v := string(e.key), e.value
		switch v.Type {
		case bson.TypeString, bson.TypeInt32, bson.TypeInt64, bson.TypeBoolean, bson.TypeNull,
			bson.TypeTimestamp, bson.TypeRegex, bson.TypeDBPointer, bson.TypeMinKey, bson.TypeMaxKey:
			out = append(out, bson.E{Key: key, Value: v})
		case bson.TypeDouble:
			if f := v.Double(); !math.IsNaN(f) && !math.IsInf(f, 0) {
				out = append(out, bson.E{Key: key, Value: v})
			}
		case bson.TypeEmbeddedDocument, bson.TypeArray:
			out = append(out, bson.E{Key: key, Value: bson.RawValue{Type: v.Type, Value: plain(t, v.Value)}})
		}
	}
	text, err := bson.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// canonical normalizes the spelling of strings, and numbers to doubles.
func canonical(t *testing.T, text []byte) string {
	v := jsontext.Value(strings.Clone(string(text)))
	err := v.Format(
		jsontext.AllowDuplicateNames(true), jsontext.CanonicalizeRawFloats(true), jsontext.PreserveRawStrings(false))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return string(v)
}
