package enrich

// UserProfile returns the built-in rules. TestMain sets it.
var UserProfile func() []*Rule

// mustTemplate is ParseTemplate for a text of a test.
func mustTemplate(text string) Template {
	t, err := ParseTemplate(text)
	if err != nil {
		panic(err)
	}
	return t
}
