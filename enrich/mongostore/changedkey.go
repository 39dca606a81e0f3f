package mongostore

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
)

// match says which keys of a source a document matches.
type match uint8

const (
	matchesNone    match = iota
	matchesOne           // one key
	matchesUnknown       // any number of keys: the field of a condition is, or is in, an array
)

// keyIn returns the key of a source that a document matches.
func keyIn(src *enrich.Source, doc bson.Raw) (enrich.Key, match) {
	key, result := make(enrich.Key, len(src.Where)), matchesOne
	for i, c := range src.Where {
		value, found := lookup(doc, c.Field)
		switch {
		case found && value.Type != bson.TypeArray:
			var isKey bool
			if key[i], isKey = keyOf(value, c.Type); !isKey {
				return nil, matchesNone
			}
		case found || isInArray(doc, c.Field):
			result = matchesUnknown
		default:
			return nil, matchesNone
		}
	}
	return key, result
}

// isInArray reports whether a dotted path leads through an array.
func isInArray(doc bson.Raw, path string) bool {
	for end := range path {
		if path[end] != '.' {
			continue
		}
		if value, found := lookup(doc, path[:end]); found && value.Type == bson.TypeArray {
			return true
		}
	}
	return false
}

// documentID returns the value of _id as an [enrich.Extension] has it.
func documentID(doc bson.Raw) string {
	id, found := lookup(doc, "_id")
	if !found {
		return ""
	}
	return string(append([]byte{byte(id.Type)}, id.Value...))
}
