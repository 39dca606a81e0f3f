package extproc_test

import (
	"testing"
	"time"

	"weft/extproc"
)

func TestAuthority(t *testing.T) {
	for _, test := range []struct {
		text string
		want extproc.Authority
		same bool // it is how this is spelled
	}{
		{"weft", extproc.Authority{}, true},
		{"budget-900ms.weft", extproc.Authority{Budget: 900 * time.Millisecond}, true},
		{"budget-1800ms.rules-0123456789ab.weft", extproc.Authority{Budget: 1800 * time.Millisecond, Rules: "0123456789ab"}, true},
		{"budget-1500us.weft", extproc.Authority{Budget: 1500 * time.Microsecond}, true},
		{"rules-0123456789ab.weft", extproc.Authority{Rules: "0123456789ab"}, true},
		{"rules-1.budget-2s", extproc.Authority{Budget: 2 * time.Second, Rules: "1"}, false},
		{"budget-2s.weft.shop.svc:50051", extproc.Authority{Budget: 2 * time.Second}, false},
		{"weft.shop.svc:50051", extproc.Authority{}, false},
		{"budget-.weft", extproc.Authority{}, false},
		{"budget--1s.weft", extproc.Authority{}, false},
		{"budget-soon.weft", extproc.Authority{}, false},
		{"", extproc.Authority{}, false},
		{"...", extproc.Authority{}, false},
	} {
		if got := extproc.ParseAuthority(test.text); got != test.want {
			t.Errorf("%q: %+v, want %+v", test.text, got, test.want)
		}
		if got := test.want.String(); test.same && got != test.text {
			t.Errorf("%+v is spelled %q, want %q", test.want, got, test.text)
		}
	}
}
