package extproc

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"weft/enrich"
	"weft/enrich/storetest"
)

func TestNeeded(t *testing.T) {
	change := enrich.Headers{
		Remove: []string{"etag", "last-modified"},
		Set:    []enrich.Header{{Name: "content-type", Value: "application/json"}, {Name: ":status", Value: "200"}},
	}
	for name, test := range map[string]struct {
		seesHeaders bool
		head        []header
		want        string
	}{
		"nothing is as it should be":   {true, headers(":status", "404", "content-type", "text/html", "etag", `"1"`, "last-modified", ""), "{[etag last-modified] [{content-type application/json} {:status 200}]}"},
		"all is":                       {true, headers(":status", "200", "content-type", "application/json"), "{[] []}"},
		"a header that is there twice": {true, headers(":status", "200", "content-type", "application/json", "content-type", "application/json"), "{[] [{content-type application/json}]}"},
		"Envoy may show a part only":   {false, headers(":status", "200", "content-type", "application/json"), "{[etag last-modified] []}"},
		"nothing was shown":            {true, nil, "{[] [{content-type application/json} {:status 200}]}"},
	} {
		t.Run(name, func(t *testing.T) {
			x := &exchange{seesHeaders: test.seesHeaders}
			if got := fmt.Sprint(x.needed(&message{headers: test.head}, change)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	if want := "{[etag last-modified] [{content-type application/json} {:status 200}]}"; fmt.Sprint(change) != want {
		t.Errorf("the change itself has become %v", change)
	}
}

func headers(pairs ...string) (hs []header) {
	for i := 0; i < len(pairs); i += 2 {
		hs = append(hs, header{[]byte(pairs[i]), []byte(pairs[i+1])})
	}
	return hs
}

// TestHeadersAreForwarded: Envoy shows all headers that are ever removed, or else they would stay.
func TestHeadersAreForwarded(t *testing.T) {
	answer, rule := enrich.Answer{Status: http.StatusOK}, enrich.UserProfile()[0]
	read := enrich.Fetch(t.Context(), storetest.Mem{}, rule, []enrich.Value{{Type: enrich.Int64, Int: 7}})
	defer read.Stop()
	for _, change := range []enrich.Headers{
		enrich.LegacyRequest(http.MethodGet), enrich.LegacyRequest(http.MethodPost), enrich.HeadHeaders(),
		enrich.PassHeaders(enrich.LegacyError), answerChange(answer, false), answerChange(answer, true),
		rule.StreamHeaders(read.Wait(t.Context(), enrich.Core{})),
	} {
		for _, name := range change.Remove {
			if !slices.Contains(Headers(), name) {
				t.Errorf("%q is removed, but not forwarded", name)
			}
		}
	}
}
