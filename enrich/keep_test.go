package enrich_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weft/enrich"
	"weft/enrich/corestore"
)

// keptRule returns a rule that keeps cores.
func keptRule(t testing.TB, policy enrich.KeepPolicy, degrade enrich.DegradePolicy) *enrich.Rule {
	t.Helper()
	path, err := enrich.ParseTemplate("/users/{userId:int64}")
	if err != nil {
		t.Fatal(err)
	}
	policy.Credentials = []string{"cookie"}
	return enrich.Rule{
		Name: "user", Methods: []string{"GET"}, Path: path, CoreLimit: 1 << 20,
		Members: enrich.Members{Core: "core", Errors: "errors"}, Keep: policy, Degrade: degrade,
	}.Ready()
}

func newMemory(t testing.TB) *corestore.Memory {
	m := corestore.NewMemory(1 << 20)
	t.Cleanup(m.Close)
	return m
}

func user7() (enrich.Request, []enrich.Value) {
	return enrich.Request{Method: "GET", Host: "h", Path: "/users/7", Header: http.Header{}},
		[]enrich.Value{{Type: enrich.Int64, Int: 7}}
}

func legacy200(cacheControl string) enrich.Response {
	return enrich.Response{
		Origin: enrich.OriginLegacy, Status: 200, ContentLength: -1, Method: "GET",
		Header: http.Header{"Cache-Control": {cacheControl}},
	}
}

// save keeps a body as an exchange does.
func save(k *enrich.Kept, rule *enrich.Rule, resp enrich.Response, body string) {
	core, _ := rule.ParseCore([]byte(body), "")
	k.Respond(resp)
	k.Save(resp, []byte(body), core)
	k.Wait()
}

// TestLargeCore: a core that is too large to keep ends the use of earlier ones, also of one that arrives later.
func TestLargeCore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := keptRule(t, enrich.KeepPolicy{Cache: true}, enrich.DegradeNever)
		req, params := user7()
		cores := enrich.NewCores(newMemory(t), nil, nil)
		recall := func() *enrich.Kept { return cores.Recall(t.Context(), rule, params, req, "", 0) }
		first := recall()
		time.Sleep(time.Second)
		second := recall()
		save(second, rule, legacy200("max-age=60"), `{"v":2,"text":"`+strings.Repeat("x", 1<<18)+`"}`)
		second.Close()
		time.Sleep(time.Second)
		save(first, rule, legacy200("max-age=60"), `{"v":1}`)
		first.Close()
		if core, isFresh := recall().Fresh(); isFresh {
			t.Errorf("%s is fresh, but a newer one was sent", core.JSON)
		}
		time.Sleep(time.Second)
		third := recall()
		save(third, rule, legacy200("max-age=60"), `{"v":3}`)
		third.Close()
		if _, isFresh := recall().Fresh(); !isFresh {
			t.Error("a small one is not kept afterwards")
		}
	})
}

// forgetful is a store that evicts each value before the next Update.
type forgetful struct{ enrich.CoreStore }

func (f forgetful) Update(ctx context.Context, key string, change func([]byte) ([]byte, time.Duration)) error {
	return f.CoreStore.Update(ctx, key, func([]byte) ([]byte, time.Duration) { return change(nil) })
}

// TestEvictedChange: a response to a request before a change, or before a newer response, is not kept, also if the
// store has evicted what says so.
func TestEvictedChange(t *testing.T) {
	for _, method := range []string{"GET", "PUT"} {
		synctest.Test(t, func(t *testing.T) {
			rule := keptRule(t, enrich.KeepPolicy{Cache: true}, enrich.DegradeNever)
			memory := newMemory(t)
			cores := enrich.NewCores(forgetful{memory}, nil, nil)
			req, params := user7()
			recall := func(method string) *enrich.Kept {
				req.Method = method
				if method != "GET" {
					return cores.Unsafe(t.Context(), enrich.NewRules([]*enrich.Rule{rule}), req)
				}
				return cores.Recall(t.Context(), rule, params, req, "", 0)
			}
			first := recall("GET")
			time.Sleep(time.Second)
			second := recall(method)
			save(second, rule, legacy200("max-age=60"), `{"v":2}`)
			second.Close()
			time.Sleep(time.Second)
			save(first, rule, legacy200("max-age=60"), `{"v":1}`)
			first.Close()
			if core, isFresh := recall("GET").Fresh(); isFresh {
				t.Errorf("%s after %s", core.JSON, method)
			}
			third := recall("GET")
			save(third, rule, legacy200("max-age=60"), `{"v":3}`)
			third.Close()
			if _, isFresh := recall("GET").Fresh(); !isFresh {
				t.Error("a later response is not kept")
			}
		})
	}
}

// recording is a store that records the longest time for which a value is kept.
type recording struct {
	enrich.CoreStore
	ttl time.Duration
}

func (r *recording) Update(ctx context.Context, key string, change func([]byte) ([]byte, time.Duration)) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return r.CoreStore.Update(ctx, key, func(old []byte) (value []byte, ttl time.Duration) {
		value, ttl = change(old)
		r.ttl = max(r.ttl, ttl)
		return value, ttl
	})
}

// TestUnknownOutcome: after a change with an unknown outcome, a core stays as long as it may stand in.
func TestUnknownOutcome(t *testing.T) {
	rule := keptRule(t, enrich.KeepPolicy{StaleIfError: time.Hour}, enrich.DegradeAlways)
	store := &recording{CoreStore: newMemory(t)}
	cores := enrich.NewCores(store, nil, nil)
	req, params := user7()
	k := cores.Recall(t.Context(), rule, params, req, "", 0)
	save(k, rule, legacy200(""), `{"v":1}`)
	k.Close()
	req.Method, store.ttl = "PUT", 0
	ctx, disconnect := context.WithCancel(t.Context())
	disconnect()
	cores.Unsafe(ctx, enrich.NewRules([]*enrich.Rule{rule}), req).Close()
	if store.ttl < 59*time.Minute {
		t.Errorf("the core is kept for %v", store.ttl)
	}
	req.Method = "GET"
	k = cores.Recall(t.Context(), rule, params, req, "", 0)
	defer k.Close()
	if core := k.StandIn(enrich.LegacyError); string(core.JSON) != `{"v":1}` {
		t.Errorf("%+v stands in", core)
	}
}

// TestOtherRuleKeepsStaleCore: a rule without stale_if_error keeps cores for another rule with the same path for the
// legacy service.
func TestOtherRuleKeepsStaleCore(t *testing.T) {
	const longest = time.Hour
	cores := enrich.NewCores(newMemory(t), nil, nil)
	req, params := user7()
	stale := keptRule(t, enrich.KeepPolicy{StaleIfError: longest}, enrich.DegradeAlways)
	other := keptRule(t, enrich.KeepPolicy{Cache: true, MaxStaleIfError: longest}, enrich.DegradeNever)
	k := cores.Recall(t.Context(), other, params, req, "", 0)
	save(k, other, legacy200(""), `{"v":1}`)
	k.Close()
	k = cores.Recall(t.Context(), stale, params, req, "", 0)
	defer k.Close()
	if core := k.StandIn(enrich.LegacyError); string(core.JSON) != `{"v":1}` {
		t.Errorf("%+v stands in", core)
	}
	k = cores.Recall(t.Context(), other, params, req, "", 0)
	defer k.Close()
	if core := k.StandIn(enrich.LegacyError); core.Kept != nil {
		t.Errorf("%s stands in for the other rule", core.JSON)
	}
}

// TestResponsesAboutKeptCore: what a response says about the core that is kept.
func TestResponsesAboutKeptCore(t *testing.T) {
	const v1 = `{"v":1}`
	for name, test := range map[string]struct {
		method  string
		origin  enrich.Origin
		status  int
		standIn string
		isFresh bool
	}{
		"204":                     {"GET", enrich.OriginLegacy, 204, "", false},
		"503":                     {"GET", enrich.OriginLegacy, 503, v1, true},
		"Envoy's 403":             {"GET", enrich.OriginProxy, 403, v1, true},
		"PUT":                     {"PUT", enrich.OriginLegacy, 204, "", false},
		"rejected PUT":            {"PUT", enrich.OriginLegacy, 403, v1, true},
		"PUT that Envoy rejected": {"PUT", enrich.OriginProxy, 403, v1, true},
		"PUT without a response":  {"PUT", enrich.OriginUnreachable, 504, v1, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newLocalCores(t)
				c.ours = enrich.NewCores(newMemory(t), nil, nil)
				c.respond(c.ours, legacy200("max-age=60"), v1)
				req, params := user7()
				if req.Method = test.method; req.Method == "GET" {
					c.rule.Keep.Cache = false // so that it is sent
				}
				k := c.ours.Recall(t.Context(), c.rule, params, req, "", 0)
				if req.Method != "GET" {
					k = c.ours.Unsafe(t.Context(), enrich.NewRules([]*enrich.Rule{c.rule}), req)
				}
				k.Respond(enrich.Response{Origin: test.origin, Status: test.status, Method: test.method})
				k.Close()
				c.rule.Keep.Cache = true
				time.Sleep(time.Millisecond)
				fresh := ""
				if test.isFresh {
					fresh = v1
				}
				c.expect(c.ours, test.standIn, fresh)
			})
		})
	}
}

// TestOtherCoreConfirmed: after a 304 that is about another core than the kept one, that one stands in.
func TestOtherCoreConfirmed(t *testing.T) {
	rule := keptRule(t, enrich.KeepPolicy{Cache: true}, enrich.DegradeNever)
	cores := enrich.NewCores(newMemory(t), nil, nil)
	req, params := user7()
	resp := legacy200("max-age=0")
	resp.Header.Set("Etag", `"1"`)
	k := cores.Recall(t.Context(), rule, params, req, "", 0)
	save(k, rule, resp, `{"v":1}`)
	k.Close()
	k = cores.Recall(t.Context(), rule, params, req, "", 0)
	defer k.Close()
	if conditions := k.Conditions(); len(conditions) != 1 || !k.Validates() {
		t.Fatalf("conditions %v", conditions)
	}
	core, ok := k.Respond(enrich.Response{
		Origin: enrich.OriginLegacy, Status: 304, Method: "GET", Header: http.Header{"Etag": {`"2"`}},
	})
	if !ok || core.Kept.Use != enrich.CoreStale || core.Kept.Instead != enrich.LegacyError {
		t.Errorf("%t, %+v", ok, core.Kept)
	}
	k.Wait()
	again := cores.Recall(t.Context(), rule, params, req, "", 0)
	defer again.Close()
	if conditions := again.Conditions(); conditions != nil {
		t.Errorf("the core is still kept: %v", conditions)
	}
}

// failing is a store that fails.
type failing struct{ err error }

func (f failing) Get(context.Context, string) ([]byte, error) { return nil, f.err }

func (f failing) Update(context.Context, string, func([]byte) ([]byte, time.Duration)) error {
	if f.err == nil {
		panic("oh")
	}
	return f.err
}

func (f failing) MaxValue(string) int { return 1 << 20 }

// TestCoreStoreFails: with a store that fails, everything is as without kept cores. If it panics, so does the exchange,
// which recovers.
func TestCoreStoreFails(t *testing.T) {
	rule := keptRule(t, enrich.KeepPolicy{Cache: true, StaleIfError: time.Minute}, enrich.DegradeAlways)
	req, params := user7()
	cores := enrich.NewCores(failing{errors.New("down")}, nil, nil)
	k := cores.Recall(t.Context(), rule, params, req, "", time.Second)
	defer k.Close()
	if _, isFresh := k.Fresh(); isFresh || k.Conditions() != nil {
		t.Error("a core is kept")
	}
	save(k, rule, legacy200("max-age=60"), `{"v":1}`)
	if core := k.StandIn(enrich.LegacyError); core.Failed != enrich.LegacyError || core.Kept != nil {
		t.Errorf("%+v stands in", core)
	}
	defer func() {
		if err := enrich.AsPanic(recover()); err == nil || !strings.Contains(err.Error(), "oh") {
			t.Errorf("panic %v", err)
		}
	}()
	cores = enrich.NewCores(failing{}, nil, nil)
	save(cores.Recall(t.Context(), rule, params, req, "", 0), rule, legacy200(""), `{"v":1}`)
}

// untouched is a store that must not change.
type untouched struct {
	enrich.CoreStore
	*testing.T
}

func (u untouched) Update(context.Context, string, func([]byte) ([]byte, time.Duration)) error {
	u.Error("Update, although the response says nothing about what is kept")
	return nil
}

// TestUnaffectedCores: a response that says nothing about what is kept does not need the store.
func TestUnaffectedCores(t *testing.T) {
	rule := keptRule(t, enrich.KeepPolicy{Cache: true, StaleIfError: time.Minute}, enrich.DegradeAlways)
	for name, respond := range map[string]func(k *enrich.Kept){
		"too many requests": func(k *enrich.Kept) { k.Respond(enrich.Response{Origin: enrich.OriginLegacy, Status: 429}) },
		"with credentials":  func(k *enrich.Kept) { save(k, rule, legacy200("max-age=60"), `{"v":1}`) },
	} {
		t.Run(name, func(t *testing.T) {
			cores := enrich.NewCores(untouched{newMemory(t), t}, nil, nil)
			req, params := user7()
			req.HasCredentials = name == "with credentials"
			k := cores.Recall(t.Context(), rule, params, req, "", 0)
			defer k.Close()
			respond(k)
		})
	}
}
