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
	d, err := parse(nil, doc)
	if err != nil {
		return nil, matchesUnknown
	}
	for i, c := range src.Where {
		value, found, err := d.lookup(c.Field)
		switch {
		case err != nil:
			return nil, matchesUnknown
		case found && value.Type != bson.TypeArray:
			var isKey bool
			if key[i], isKey = keyOf(value, c.Type); !isKey {
				return nil, matchesNone
			}
		case found || d.hasArray(c.Field):
			result = matchesUnknown
		default:
			return nil, matchesNone
		}
	}
	return key, result
}

// hasArray reports whether a dotted path leads through an array.
func (d document) hasArray(path string) bool {
	for end := range path {
		if path[end] != '.' {
			continue
		}
		if value, found, _ := d.lookup(path[:end]); found && value.Type == bson.TypeArray {
			return true
		}
	}
	return false
}

// documentID returns the value of _id as an [enrich.Extension] has it.
func documentID(doc bson.Raw) string {
	for e := elementsOf(doc); e.next(); {
		if string(e.key) == "_id" {
			return string(append([]byte{byte(e.value.Type)}, e.value.Value...))
		}
	}
	return ""
}
