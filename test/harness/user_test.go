package harness

import "testing"

// TestKind: a response that differs by one byte is wrong.
func TestKind(t *testing.T) {
	u := NewUser(7)
	const unavailable = `{"detail":"All upstream services are unavailable."}`
	for _, test := range []struct {
		status int
		body   string
		want   Kind
	}{
		{200, u.Composite(), Composed},
		{200, u.WithoutExtension(), Degraded},
		{200, u.WithoutCore(), Degraded},
		{200, u.Core, Passed},
		{503, unavailable, Unavailable},
		{200, unavailable, Wrong},
		{503, u.Composite(), Wrong},
		{200, u.Composite()[:len(u.Composite())-1], Wrong},
		{200, u.Composite() + "\n", Wrong},
		{200, "", Wrong},
		{200, NewUser(8).Composite(), Wrong},
		{502, "", Wrong},
	} {
		if got := u.Kind(Answer{Status: test.status, Body: test.body}); got != test.want {
			t.Errorf("%d %q: %d, want %d", test.status, test.body, got, test.want)
		}
	}
}
