package enrich

// UserProfile returns the rules that weft serves when it is given none: the user of the legacy service joined with
// the profile in MongoDB, under the legacy path and under the path of the aggregator that weft replaces.
func UserProfile() []*Rule {
	v1 := Rule{
		Name: "user",
		Path: "/api/v1/users/{userId}",
		Core: []CoreField{
			{Name: "userId", Type: Int64},
			{Name: "username", Type: String},
			{Name: "email", Type: String},
			{Name: "createdAt", Type: String},
		},
		CoreKey:   "userId",
		CoreLimit: 1 << 20,
		NotFound:  PassNotFound,
		Source: Source{
			Database:   "user_profiles",
			Collection: "profiles",
			Key:        "userId",
			Fields: []Field{
				{Name: "userId", Type: Int64},
				{Name: "tags", Type: Strings, Default: `[]`},
				{Name: "lastActivityScore", Type: Number, Default: `0.0`},
				{Name: "customSettings", Type: Object, Default: `{}`},
			},
		},
		Messages: Messages{
			CoreFailed:      "Failed to fetch core user profile.",
			ExtensionFailed: "Failed to fetch extended user profile.",
			BothFailed:      "All upstream services are unavailable.",
		},
	}
	v3 := v1
	v3.Name = "composite-profile"
	v3.Path = "/api/v3/composite-profile/{userId}"
	v3.LegacyPath = v1.Path
	v3.NotFound = DegradeNotFound
	v3.Fallback = FallbackComposite
	return []*Rule{&v1, &v3}
}
