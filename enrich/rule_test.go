package enrich

import (
	"strconv"
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
		rule, key, ok := Match(rules, Request{Method: test.method, Path: test.path})
		if !ok {
			rule = &Rule{}
		}
		if rule.Name != test.rule || key != test.key {
			t.Errorf("%s %s: rule %q, key %d; want %q, %d", test.method, test.path, rule.Name, key, test.rule, test.key)
		}
	}
}

// FuzzTemplate shows that a path that matches is the one that its key would be written in.
func FuzzTemplate(f *testing.F) {
	f.Add("/a/{id}", "/a/7")
	f.Add("/a/{id}/b", "/a/-5/b")
	f.Add("{", "0")
	f.Add("/a/{id}/a/", "/a/")
	f.Fuzz(func(t *testing.T, template, path string) {
		key, ok := Template(template).Match(path)
		if !ok {
			return
		}
		number := strconv.FormatInt(key, 10)
		for i := 0; i+len(number) <= len(path); i++ {
			rest := path[:i] + path[i+len(number):]
			if path[i:i+len(number)] == number && len(rest) <= len(template) && rest == withoutParameter(template) {
				return
			}
		}
		t.Errorf("template %q matches %q with %d", template, path, key)
	})
}

func withoutParameter(template string) string {
	var out []byte
	state := 0 // before, inside and after the first pair of braces
	for _, c := range []byte(template) {
		switch {
		case state == 0 && c == '{':
			state = 1
		case state == 1 && c == '}':
			state = 2
		case state != 1:
			out = append(out, c)
		}
	}
	return string(out)
}

func TestSourceDefault(t *testing.T) {
	source := UserProfile()[0].Source
	want := `{"userId":-5,"tags":[],"lastActivityScore":0.0,"customSettings":{}}`
	if got := string(source.Default(-5)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
