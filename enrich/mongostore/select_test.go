package mongostore

import (
	"math/rand/v2"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
)

// FuzzProject: an extension with all fields has what a read of some of them returns, byte for byte. Such a read never
// fails because of other fields, but the read of all fields may.
func FuzzProject(f *testing.F) {
	rule := enrich.Rule{
		Sources: []*enrich.Source{{Name: "x", Fields: []enrich.Field{
			{Name: "id", Path: "_id", Type: enrich.Any},
			{Name: `a{"}`, Path: "a", Type: enrich.Any, Default: `{"a": [1, "}"]}`},
			{Name: "n", Path: "n", Type: enrich.Int64, Default: "-1"},
			{Name: "inner", Path: "a.id", Type: enrich.Any, Default: `", "`},
			{Name: "o", Path: "a", Type: enrich.Object, Default: "{}"},
		}}},
		Select: enrich.Select{Param: "fields"},
	}.Ready()
	whole := rule.Sources[0]
	random := rand.New(rand.NewPCG(22, 1))
	for n := range 200 {
		doc := randomDocument(random, []string{"a", "a.id"}[n%2], n)
		raw, err := bson.Marshal(append(doc, bson.E{Key: "_id", Value: randomValue(random, 3)}))
		if err != nil {
			f.Fatal(err)
		}
		for range 5 {
			f.Add(raw, uint8(random.Uint32()))
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte, fields uint8) {
		var names []string
		for i, field := range whole.Fields {
			if fields>>i&1 == 1 || i == int(fields)%len(whole.Fields) {
				names = append(names, "x."+field.Name)
			}
		}
		narrowed, _, unknown := rule.Narrow("/?fields=" + strings.Join(names, ","))
		if len(unknown) > 0 {
			t.Fatal(unknown)
		}
		selected := narrowed.Sources[0]
		all, err := appendExtension(nil, whole, nil, doc)
		if err != nil {
			return
		}
		want, err := appendExtension(nil, selected, nil, doc)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := selected.Project(all); err != nil || string(got) != string(want) {
			t.Errorf("fields %v of %s: %s, %v; want %s", names, all, got, err, want)
		}
	})
}
