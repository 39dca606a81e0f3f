package mongostore

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
	"weft/test/storetest"
)

// storedUUIDs are the bytes of one UUID in each form, from MongoDB's specification for drivers
// (specifications/source/bson-binary-uuid/uuid.md).
var storedUUIDs = map[enrich.Type]struct {
	subtype byte
	hex     string
}{
	enrich.UUID:       {4, "00112233445566778899aabbccddeeff"},
	enrich.UUIDCSharp: {3, "33221100554477668899aabbccddeeff"},
	enrich.UUIDJava:   {3, "7766554433221100ffeeddccbbaa9988"},
	enrich.UUIDPython: {3, "00112233445566778899aabbccddeeff"},
}

const specifiedUUID = "00112233-4455-6677-8899-aabbccddeeff"

// TestUUIDForms: a UUID is found, alone and among others, and returned in the form that the rule configures. In another
// form it is another UUID, or not a UUID.
func TestUUIDForms(t *testing.T) {
	store := open(t)
	for form, stored := range storedUUIDs {
		source := &enrich.Source{
			Collection: "documents",
			Where:      []enrich.Condition{{Field: "key", Type: form}},
			Fields:     []enrich.Field{{Name: "key", Path: "key", Type: form}},
		}
		data, err := hex.DecodeString(stored.hex)
		must(t, err)
		c := collection(t, source)
		_, err = c.InsertOne(t.Context(), bson.D{{Key: "key", Value: bson.Binary{Subtype: stored.subtype, Data: data}}})
		must(t, err)
		for other, bytes := range storedUUIDs {
			uuid := enrich.Key{{Type: other, Text: specifiedUUID}}
			missing := enrich.Key{{Type: other, Text: strings.Replace(specifiedUUID, "8", "9", 1)}}
			for _, keys := range [][]enrich.Key{{uuid}, {missing, uuid}} {
				ext := store.Find(t.Context(), source, keys)[len(keys)-1]
				want := fmt.Sprintf(`{"key":"%s"}`, specifiedUUID)
				if isFound := bytes == stored; isFound != (string(ext.JSON) == want) ||
					!isFound && !errors.Is(ext.Err, enrich.ErrNotFound) {
					t.Errorf("%v, among %d, in documents with %v: %s, %v", other, len(keys), form, ext.JSON, ext.Err)
				}
			}
		}
		advice, err := store.TypeAdvice(t.Context(), source)
		if err != nil || len(advice) > 0 {
			t.Errorf("%v: %q, %v", form, advice, err)
		}
	}
}

// TestUUIDInArray: MongoDB and weft compare each element of an array with the key.
func TestUUIDInArray(t *testing.T) {
	source := storetest.Source()
	stored := bson.A{}
	for form := range storedUUIDs {
		binary, ok := uuidBinary(enrich.Value{Type: form, Text: specifiedUUID})
		if !ok {
			t.Fatal(form)
		}
		stored = append(stored, binary)
	}
	_, err := collection(t, source).InsertOne(t.Context(), bson.D{{Key: "id", Value: stored}})
	must(t, err)
	store := open(t)
	for form := range storedUUIDs {
		uuid := enrich.Key{{Type: form, Text: specifiedUUID}}
		missing := enrich.Key{{Type: form, Text: strings.Replace(specifiedUUID, "8", "9", 1)}}
		for _, keys := range [][]enrich.Key{{uuid}, {missing, uuid}} {
			ext := store.Find(t.Context(), source, keys)[len(keys)-1]
			if !errors.Is(ext.Err, enrich.ErrWrongType) {
				t.Errorf("%v, among %d: %s, %v", form, len(keys), ext.JSON, ext.Err)
			}
		}
	}
}

func TestMongoshUUID(t *testing.T) {
	for form, want := range map[enrich.Type]string{
		enrich.UUID:       `UUID('00112233-4455-6677-8899-aabbccddeeff')`,
		enrich.UUIDCSharp: `HexData(3, '33221100554477668899aabbccddeeff')`,
		enrich.UUIDJava:   `HexData(3, '7766554433221100ffeeddccbbaa9988')`,
		enrich.UUIDPython: `HexData(3, '00112233445566778899aabbccddeeff')`,
	} {
		if got := mongosh(enrich.Value{Type: form, Text: specifiedUUID}); got != want {
			t.Errorf("%v: %s, want %s", form, got, want)
		}
	}
}

// FuzzUUID: a UUID is the same after a round trip through MongoDB, in all forms.
func FuzzUUID(f *testing.F) {
	data, err := hex.DecodeString("00112233445566778899aabbccddeeff")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for form, stored := range storedUUIDs {
			binary := bson.Binary{Subtype: stored.subtype, Data: data}
			text, ok := appendUUID(nil, form, rawValue(t, binary))
			if ok != (len(data) == uuidSize) {
				t.Fatalf("%v: %x is a UUID: %t", form, data, ok)
			}
			if !ok {
				continue
			}
			value, ok := enrich.ParseParam(form, string(text))
			back, isUUID := uuidBinary(value)
			if !ok || !isUUID || !back.Equal(binary) {
				t.Errorf("%v: %x is %s, and then %x", form, data, text, back.Data)
			}
		}
	})
}
