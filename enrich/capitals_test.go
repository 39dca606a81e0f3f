package enrich

import "testing"

// TestCapitals: UUIDs and ObjectIds in upper and lower case are equal: as the key, so that one read serves both, and as
// the member of the core that must equal it.
func TestCapitals(t *testing.T) {
	const (
		pattern = "/things/{id:uuid}/{of:objectid}"
		path    = "/things/0195B4A0-0000-7000-8000-0123456789ab/5F1d7a2b3c4d5e6f708192a3"
	)
	template, err := ParseTemplate(pattern)
	if err != nil {
		t.Fatal(err)
	}
	params, ok := template.Match(nil, path)
	id := Value{Type: UUID, Text: "0195b4a0-0000-7000-8000-0123456789ab"}
	of := Value{Type: ObjectID, Text: "5f1d7a2b3c4d5e6f708192a3"}
	if !ok || params[0] != id || params[1] != of {
		t.Errorf("%s: %v, %t", path, params, ok)
	}
	for text, want := range map[string]bool{
		"0195b4a0-0000-7000-8000-0123456789ab": true,
		"0195B4A0-0000-7000-8000-0123456789AB": true,
		"0195b4a0-0000-7000-8000-0123456789ac": false,
	} {
		for _, typ := range []Type{UUID, UUIDCSharp, UUIDJava, UUIDPython} {
			got, ok := member{kind: '"', text: text}.value(typ)
			if !ok || (got == Value{Type: typ, Text: id.Text}) != want {
				t.Errorf("%v %q: %v, %t", typ, text, got, ok)
			}
		}
	}
}
