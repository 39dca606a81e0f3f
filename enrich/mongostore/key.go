package mongostore

import (
	"encoding/hex"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
)

// bsonValue returns the value that a field is compared with. It is never a document or a regular expression, which
// MongoDB would interpret as operators.
func bsonValue(v enrich.Value) any {
	switch {
	case v.Type == enrich.Int64:
		return v.Int
	case v.Type == enrich.Bool:
		return v.Int == 1
	case v.Type == enrich.ObjectID:
		if id, err := bson.ObjectIDFromHex(v.Text); err == nil {
			return id
		}
	case v.Type.IsUUID():
		if binary, ok := uuidBinary(v); ok {
			return binary
		}
	}
	return v.Text // for an invalid ID, too: it equals no ID
}

// asValue returns the value of a field as a key, if it has a type of keys. t is the type of the key that the field is
// compared with: it decides which UUID a binary is.
func asValue(v bson.RawValue, t enrich.Type) (enrich.Value, bool) {
	if n, ok := asInt64(v); ok {
		return enrich.Value{Type: enrich.Int64, Int: n}, true
	}
	switch v.Type {
	case bson.TypeString:
		s, ok := v.StringValueOK()
		return enrich.Value{Type: enrich.String, Text: s}, ok
	case bson.TypeBoolean:
		b, ok := v.BooleanOK()
		if b {
			return enrich.Value{Type: enrich.Bool, Int: 1}, ok
		}
		return enrich.Value{Type: enrich.Bool}, ok
	case bson.TypeObjectID:
		id, ok := v.ObjectIDOK()
		return enrich.Value{Type: enrich.ObjectID, Text: hex.EncodeToString(id[:])}, ok
	case bson.TypeBinary:
		text, ok := appendUUID(nil, t, v)
		return enrich.Value{Type: t, Text: string(text)}, ok
	}
	return enrich.Value{}, false
}

// keyOf returns the key that MongoDB compares as equal to a value, including values of types Decimal128 and symbol.
// For t see [asValue].
func keyOf(v bson.RawValue, t enrich.Type) (enrich.Value, bool) {
	switch v.Type {
	case bson.TypeDecimal128:
		return integer(v)
	case bson.TypeSymbol:
		s, ok := v.SymbolOK()
		return enrich.Value{Type: enrich.String, Text: s}, ok
	}
	return asValue(v, t)
}

// integer returns the integer that is equal to a Decimal128.
func integer(v bson.RawValue) (enrich.Value, bool) {
	d, isDecimal := v.Decimal128OK()
	exact, isNumber := new(big.Rat).SetString(d.String()) // not NaN, not infinite
	if !isDecimal || !isNumber || !exact.IsInt() {
		return enrich.Value{}, false
	}
	return enrich.Value{Type: enrich.Int64, Int: exact.Num().Int64()}, exact.Num().IsInt64()
}
