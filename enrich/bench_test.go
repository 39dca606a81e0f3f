package enrich

import (
	"fmt"
	"testing"
)

// bench/allocs_test.go compares the allocations of all benchmarks in this module with a baseline.

// legacyUser is a core from the legacy service.
const legacyUser = `{"userId": 7, "username": "user7", "email": "user7@example.com", ` +
	`"createdAt": "2020-02-29T12:34:56.789+00:00"}`

func BenchmarkMatch(b *testing.B) {
	user := UserProfile()[0]
	for _, n := range []int{1, 1000} {
		var rules []*Rule
		for i := range n - 1 {
			rules = append(rules, Rule{
				Name: fmt.Sprint("other ", i), Methods: user.Methods, Members: user.Members, Sources: user.Sources,
				Path: mustTemplate(fmt.Sprintf("/api/v1/other%d/{id:int64}", i)),
			}.Ready())
		}
		rules = append(rules, user)
		prepared := NewRules(rules)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, ok := prepared.Match(Request{Method: "GET", Host: "users", Path: "/api/v1/users/7"}); !ok {
					b.Fatal("no rule")
				}
			}
		})
	}
}

func BenchmarkParseCore(b *testing.B) {
	rule, body := UserProfile()[0], []byte(legacyUser)
	b.ReportAllocs()
	for b.Loop() {
		if core, ok := rule.ParseCore(body, ""); !ok || core.Failed != "" {
			b.Fatalf("%+v", core)
		}
	}
}

func BenchmarkCompose(b *testing.B) {
	rule := UserProfile()[0]
	core, ok := rule.ParseCore([]byte(legacyUser), "")
	if !ok {
		b.Fatal(core.Err)
	}
	params := []Value{{Type: Int64, Int: 7}}
	profile := []byte(`{"userId":7,"tags":["vip"],"lastActivityScore":25.9,"customSettings":{"theme":"dark"}}`)
	found := Found{bySource: [][]Extension{{{JSON: profile}}}}
	b.ReportAllocs()
	for b.Loop() {
		if a := rule.Compose(params, core, found, 1<<20); a.Outcome.Disposition != Composed || a.ETag == "" {
			b.Fatalf("%+v", a)
		}
	}
}
