package enrich

// UserProfile returns the rules that weft serves when it is given none: the user of the legacy service joined with
// the profile in MongoDB, under the legacy path and under the path of the aggregator that weft replaces.
func UserProfile() []*Rule {
	users, composites := mustTemplate("/api/v1/users/{userId:int64}"), mustTemplate("/api/v3/composite-profile/{userId:int64}")
	rule := func(name string, path Template) Rule {
		return Rule{
			Name:    name,
			Methods: []string{"GET"},
			Path:    path,
			Core: []CoreField{
				{At: "/userId", Type: Int64},
				{At: "/username", Type: String},
				{At: "/email", Type: String},
				{At: "/createdAt", Type: String},
			},
			Verify:    []Verify{{At: "/userId"}},
			CoreLimit: 1 << 20,
			Members:   Members{Core: "core", Errors: "errors"},
			Sources: []*Source{{
				Name:       "extension",
				Database:   "user_profiles",
				Collection: "profiles",
				Where:      []Condition{{Field: "userId"}},
				Fields: []Field{
					{Name: "userId", Path: "userId", Type: Int64},
					{Name: "tags", Path: "tags", Type: Strings, Default: `[]`},
					{Name: "lastActivityScore", Path: "lastActivityScore", Type: Number, Default: `0.0`},
					{Name: "customSettings", Path: "customSettings", Type: Object, Default: `{}`},
				},
				Failed: "Failed to fetch extended user profile.",
			}},
			Messages: Messages{
				CoreFailed: "Failed to fetch core user profile.",
				BothFailed: "All upstream services are unavailable.",
			},
		}
	}
	v1, v3 := rule("user", users), rule("composite-profile", composites)
	v3.LegacyPath = users
	v3.NotFound = DegradeNotFound
	v3.Fallback = FallbackComposite
	return []*Rule{v1.Ready(), v3.Ready()}
}
