package httpcache_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"weft/enrich/httpcache"
)

// encoded returns entries with all that an encoding must keep.
func encoded(t testing.TB) map[string]httpcache.Entry {
	lines := "Cache-Control: max-age=60; A: 1; A: 2; Etag: \"\xfc\""
	one, why := update(httpcache.Entry{}, "", exchange(0, 1, `{"a": 1}`, lines))
	if why != "" {
		t.Fatal(why)
	}
	two, _ := update(httpcache.Entry{Since: at(-10)}, "A: 1, 2", exchange(2, 3, "{}", "Vary: a, b"))
	two, _ = update(two, "A: 3", exchange(4, 5, "", "Vary: a, b"))
	party, _ := httpcache.Entry{}.Update(get(""), ok(""), true)
	return map[string]httpcache.Entry{
		"one": one, "two": two, "party": party, "invalidated": httpcache.Entry{}.Invalidate(at(0).Add(time.Nanosecond)),
	}
}

func TestEncode(t *testing.T) {
	for name, e := range encoded(t) {
		b := httpcache.Encode(e)
		got, err := httpcache.Decode(b)
		if diff := cmp.Diff(e, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
		if !bytes.Equal(httpcache.Encode(got), b) {
			t.Errorf("%s: encoded again, it has other bytes", name)
		}
		for n := 1; n < len(b); n++ {
			if _, err := httpcache.Decode(b[:n]); !errors.Is(err, httpcache.ErrEncoding) {
				t.Errorf("%s: the first %d bytes: %v", name, n, err)
			}
		}
		for _, other := range [][]byte{append(bytes.Clone(b), 0), append([]byte{0}, b[1:]...)} {
			if _, err := httpcache.Decode(other); !errors.Is(err, httpcache.ErrEncoding) {
				t.Errorf("%s: bytes of something else: %v", name, err)
			}
		}
	}
}

func TestEncodeNothing(t *testing.T) {
	if b := httpcache.Encode(httpcache.Entry{}); b != nil {
		t.Errorf("an empty entry: %q", b)
	}
	if e, err := httpcache.Decode(nil); err != nil || len(e.Responses) != 0 {
		t.Errorf("no bytes: %v, %v", e, err)
	}
}

// FuzzDecode decodes arbitrary bytes. What it accepts has an encoding that decodes to the same.
func FuzzDecode(f *testing.F) {
	for _, e := range encoded(f) {
		f.Add(httpcache.Encode(e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := httpcache.Decode(b)
		if err != nil {
			return
		}
		again, err := httpcache.Decode(httpcache.Encode(e))
		if diff := cmp.Diff(e, again, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}

// FuzzHeaders gives arbitrary fields to all functions. A response that is not kept, and one with no-store, is never
// fresh for another request.
func FuzzHeaders(f *testing.F) {
	f.Add("max-age=60, private=\"a\"", "a, b", "Thu, 18 Aug 2050 02:01:18 GMT", "1", `"a"`, "max-stale=1")
	f.Add(`x="a\", no-store`, "*", "0", "-1", "W/", "no-cache")
	f.Fuzz(func(t *testing.T, cacheControl, vary, expires, age, etag, asked string) {
		req, resp := get(""), ok("")
		req.Header.Set("Cache-Control", asked)
		for name, value := range map[string]string{
			"Cache-Control": cacheControl, "Vary": vary, "Expires": expires, "Age": age, "Etag": etag, "Date": expires,
		} {
			resp.Header.Set(name, value)
		}
		e, why := httpcache.Entry{}.Update(req, resp, false)
		if e.TTL(at(0), time.Minute); why != "" {
			if len(e.Responses) != 0 {
				t.Errorf("kept although %s", why)
			}
			return
		}
		r, isSelected := e.Select(req)
		if !isSelected {
			t.Fatal("the response does not match its request")
		}
		if r.Lifetime() < 0 || r.Age(at(0)) < 0 {
			t.Errorf("lifetime %v, age %v", r.Lifetime(), r.Age(at(0)))
		}
		if isFresh := r.Use(req, at(0)) == httpcache.Fresh; isFresh && !r.StandsIn(req, at(0), 1<<31*time.Second) {
			t.Error("a fresh response does not stand in")
		}
		r.Conditions()
		r.Freshen(resp)
	})
}
