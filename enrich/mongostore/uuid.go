package mongostore

import (
	"encoding/hex"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
)

// uuidSize is the number of bytes of a UUID.
const uuidSize = 16

// uuidForm is how a UUID type is stored: in a binary of a subtype, whose byte i is byte order[i] of the text. Each
// order is its own inverse. See "Handling of Native UUID Types" in MongoDB's specifications for drivers.
type uuidForm struct {
	subtype byte
	order   [uuidSize]byte
}

func uuidFormOf(t enrich.Type) (uuidForm, bool) {
	plain := [uuidSize]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	switch t {
	case enrich.UUID:
		return uuidForm{bson.TypeBinaryUUID, plain}, true
	case enrich.UUIDCSharp: // three little-endian numbers, then bytes
		return uuidForm{bson.TypeBinaryUUIDOld, [...]byte{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}}, true
	case enrich.UUIDJava: // two little-endian numbers
		return uuidForm{bson.TypeBinaryUUIDOld, [...]byte{7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8}}, true
	case enrich.UUIDPython:
		return uuidForm{bson.TypeBinaryUUIDOld, plain}, true
	default:
		return uuidForm{}, false
	}
}

// reorder converts the bytes of the text to the stored bytes, and back.
func (f uuidForm) reorder(data [uuidSize]byte) (reordered [uuidSize]byte) {
	for i, from := range f.order {
		reordered[i] = data[from]
	}
	return reordered
}

// uuidBinary returns the binary of a UUID, and reports whether v is one.
func uuidBinary(v enrich.Value) (bson.Binary, bool) {
	form, ok := uuidFormOf(v.Type)
	data, err := hex.DecodeString(strings.ReplaceAll(v.Text, "-", ""))
	if !ok || err != nil || len(data) != uuidSize {
		return bson.Binary{}, false
	}
	stored := form.reorder([uuidSize]byte(data))
	return bson.Binary{Subtype: form.subtype, Data: stored[:]}, true
}

// appendUUID appends the text of a UUID in canonical form, and reports whether v is a UUID of type t.
func appendUUID(dst []byte, t enrich.Type, v bson.RawValue) ([]byte, bool) {
	form, ok := uuidFormOf(t)
	subtype, data, isBinary := v.BinaryOK()
	if !ok || !isBinary || subtype != form.subtype || len(data) != uuidSize {
		return dst, false
	}
	b := form.reorder([uuidSize]byte(data))
	for i, group := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, group)
	}
	return dst, true
}
