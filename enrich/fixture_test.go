package enrich

// UserProfile returns the built-in rules. TestMain sets it.
var UserProfile func() []*Rule
