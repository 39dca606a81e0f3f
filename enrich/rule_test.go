package enrich

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	const v1, v3 = "user", "composite-profile"
	tests := []struct {
		method, path string
		rule         string // empty for none
		key          int64
	}{
		{"GET", "/api/v1/users/7", v1, 7},
		{"GET", "/api/v3/composite-profile/7", v3, 7},
		{"GET", "/api/v1/users/7?x=/api/v3/composite-profile/8", v1, 7},
		{"GET", "/api/v1/users/7?", v1, 7},
		{"GET", "/api/v1/users/0", v1, 0},
		{"GET", "/api/v1/users/-5", v1, -5},
		{"GET", "/api/v1/users/9223372036854775807", v1, 9223372036854775807},
		{"GET", "/api/v1/users/-9223372036854775808", v1, -9223372036854775808},
		{"HEAD", "/api/v1/users/7", v1, 7},

		{"POST", "/api/v1/users/7", "", 0},
		{"OPTIONS", "/api/v1/users/7", "", 0},
		{"get", "/api/v1/users/7", "", 0},
		{"", "", "", 0},
		{"GET", "", "", 0},
		{"GET", "/api/v1/users/", "", 0},
		{"GET", "/api/v1/users", "", 0},
		{"GET", "/api/v1/users/7/", "", 0},
		{"GET", "/api/v1/users/7/orders", "", 0},
		{"GET", "/api/v1/users/7;v=1", "", 0},
		{"GET", "/api/v1/users/7#x", "", 0},
		{"GET", "//api/v1/users/7", "", 0},
		{"GET", "/api/v2/users/7", "", 0},
		{"GET", "/x/api/v1/users/7", "", 0},
		{"GET", "/api/v1/users/007", "", 0},
		{"GET", "/api/v1/users/+5", "", 0},
		{"GET", "/api/v1/users/-0", "", 0},
		{"GET", "/api/v1/users/--5", "", 0},
		{"GET", "/api/v1/users/%37", "", 0},
		{"GET", "/api/v1/users/ 7", "", 0},
		{"GET", "/api/v1/users/0x1F", "", 0},
		{"GET", "/api/v1/users/1_000", "", 0},
		{"GET", "/api/v1/users/7.0", "", 0},
		{"GET", "/api/v1/users/7e0", "", 0},
		{"GET", "/api/v1/users/٧", "", 0},
		{"GET", "/api/v1/users/9223372036854775808", "", 0},
		{"GET", "/api/v1/users/-9223372036854775809", "", 0},
	}
	rules := UserProfile()
	for _, test := range tests {
		rule, params, ok := NewRules(rules).Match(Request{Method: test.method, Path: test.path})
		if !ok {
			rule, params = &Rule{}, []Value{{Type: Int64}}
		}
		if rule.Name != test.rule || len(params) != 1 || params[0] != (Value{Type: Int64, Int: test.key}) {
			t.Errorf("%s %s: rule %q, %v; want %q, %d", test.method, test.path, rule.Name, params, test.rule, test.key)
		}
	}
}

// FuzzTemplate checks that a matching path equals the template with its parameters filled in.
func FuzzTemplate(f *testing.F) {
	f.Add("/a/{id:int64}", "/a/7")
	f.Add("/a/{id:int64}/b{name:string}.json", "/a/-5/bc.json")
	f.Add("/{u:uuid}/{o:objectid}", "/01234567-89ab-cdef-0123-456789abcdef/0123456789abcdef01234567")
	f.Add("{", "0")
	f.Add("/a/{id:int64}/a/", "/a/")
	f.Fuzz(func(t *testing.T, text, path string) {
		template, err := ParseTemplate(text)
		if err != nil {
			return
		}
		params, ok := template.Match(nil, path)
		if !ok {
			return
		}
		var made strings.Builder
		for _, s := range template.Segments() {
			made.WriteString("/" + s.Prefix)
			if s.HasParam {
				made.WriteString(params[0].String() + s.Suffix)
				params = params[1:]
			}
		}
		if made.String() != path || len(params) != 0 {
			t.Errorf("template %q matches %q as %q", text, path, made.String())
		}
	})
}

func TestSourceDefault(t *testing.T) {
	source := UserProfile()[0].Sources[0]
	want := `{"userId":-5,"tags":[],"lastActivityScore":0.0,"customSettings":{}}`
	if got := string(source.Default(Key{{Type: Int64, Int: -5}})); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestUpgradeMatchesNoRule: what follows an upgrade is not HTTP.
func TestUpgradeMatchesNoRule(t *testing.T) {
	rules := NewRules(UserProfile())
	request := Request{Method: "GET", Path: "/api/v1/users/7", IsUpgrade: true}
	if rule, _, ok := rules.Match(request); ok {
		t.Errorf("an upgrade matches %s", rule.Name)
	}
}

// TestMatchFinds compares Match with a linear search.
func TestMatchFinds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	segments := []string{"a", "b", "aa", "{p:int64}", "a{p:int64}", "{p:string}", ""}
	paths := []string{"", "/", "a", "//"}
	for range 300 {
		path := ""
		for range random.IntN(5) {
			path += "/" + []string{"a", "b", "aa", "7", "a7", "x", ""}[random.IntN(7)]
		}
		paths = append(paths, path, path+"?a=/b/")
	}
	for range 300 {
		var rules []*Rule
		for n := range random.IntN(8) {
			text := ""
			for i := range 1 + random.IntN(3) {
				text += "/" + strings.Replace(segments[random.IntN(len(segments))], "p", fmt.Sprint("p", i), 1)
			}
			rules = append(rules, &Rule{Name: fmt.Sprint(n), Methods: []string{"GET"}, Path: mustTemplate(text)})
		}
		prepared := NewRules(rules)
		for _, path := range paths {
			want := slices.IndexFunc(rules, func(r *Rule) bool {
				before, _, _ := strings.Cut(path, "?")
				_, ok := r.Path.Match(nil, before)
				return ok
			})
			got, _, ok := prepared.Match(Request{Method: "GET", Path: path})
			if ok != (want >= 0) || ok && got != rules[want] {
				t.Fatalf("%q: %v %t, want rule %d", path, got, ok, want)
			}
		}
	}
}
