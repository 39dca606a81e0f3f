package enrich

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// TestCheckCore reads bodies in chunks of any size, with strings longer than keep.
func TestCheckCore(t *testing.T) {
	rule := UserProfile()[0]
	long := strings.Repeat("ö", 3*keep)
	object := func(more string) string {
		return `{"userId":7,"username":"u","email":"e",` + more + `"createdAt":"c"}`
	}
	tests := []struct {
		name, body string
		fails      bool
	}{
		{"small", object(""), false},
		{"a long string", object(`"x":"` + long + `",`), false},
		{"a long name", object(`"` + long + `":1,`), false},
		{"an escape after a long string", object(`"x":"` + long + `\u00f6\"\\",`), false},
		{"a bad escape after a long string", object(`"x":"` + long + `\u00g6",`), true},
		{"a control character after a long string", object(`"x":"` + long + "\n\","), true},
		{"a cut character after a long string", object(`"x":"` + long + "\xc3\","), true},
		{"a string that does not end", `{"userId":7,"x":"` + long, true},
		{"a cut character at the end", object("") + "\xc3", true},
		{"a byte order mark", ByteOrderMark + object(""), false},
		{"more after the object", object("") + "{}", true},
		{"a member is missing", `{"userId":7}`, true},
		{"nothing", "", true},
	}
	readers := map[string]func(io.Reader) io.Reader{
		"at once":      func(r io.Reader) io.Reader { return r },
		"data and EOF": iotest.DataErrReader,
		"halves":       iotest.HalfReader,
		"a byte each":  iotest.OneByteReader,
	}
	for _, test := range tests {
		for how, reader := range readers {
			core := rule.CheckCore(reader(strings.NewReader(test.body)))
			if (core.Failed != "") != test.fails {
				t.Errorf("%s, %s: failed %q (%v)", test.name, how, core.Failed, core.Err)
			}
			if !test.fails && !rule.belongs(&core.units[0], []Value{{Type: Int64, Int: 7}}) {
				t.Errorf("%s, %s: %+v", test.name, how, core.units[0].members)
			}
		}
	}
}

// FuzzCheckCore checks that CheckCore and ParseCore agree.
func FuzzCheckCore(f *testing.F) {
	rule := UserProfile()[0]
	rule.CoreLimit = 1 << 30
	core := `{"userId":7,"username":"\u00fc","email":"e","createdAt":"c","x":[{"y":-1.5e+3},null,"` +
		strings.Repeat("ab", keep) + `"]}`
	f.Add([]byte(core), 1)
	f.Add([]byte(core[:len(core)-1]), 7)
	f.Add([]byte(ByteOrderMark+core), 100)
	f.Fuzz(func(t *testing.T, body []byte, size int) {
		held, ok := rule.ParseCore(body, "")
		if !ok {
			t.Fatal("over a limit of 1 GiB")
		}
		streamed := rule.CheckCore(&pieces{bytes.NewReader(body), max(size, 1)})
		if streamed.Failed != held.Failed {
			t.Fatalf("streamed: %+v\nheld: %+v", streamed, held)
		}
		for i := range held.units {
			if !slices.Equal(streamed.units[i].members, held.units[i].members) {
				t.Errorf("streamed: %+v\nheld: %+v", streamed, held)
			}
		}
	})
}

// pieces is a reader that returns at most size bytes per call.
type pieces struct {
	r    io.Reader
	size int
}

func (p *pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(p.size, len(b))]) }
