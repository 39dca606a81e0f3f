package enrich_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
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

// TestCoalesce: of concurrent requests for a core, one is sent. The others wait until its response is kept.
func TestCoalesce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := keptRule(t, enrich.KeepPolicy{Cache: true, Coalesce: true}, enrich.DegradeNever)
		cores := enrich.NewCores(newMemory(t), nil, nil)
		req, params := user7()
		first := cores.Recall(t.Context(), rule, params, req, "", time.Second)
		if _, isFresh := first.Fresh(); isFresh {
			t.Fatal("a core before there is one")
		}
		answers := make(chan string, 3)
		for range 3 {
			go func() {
				k := cores.Recall(t.Context(), rule, params, req, "", time.Second)
				defer k.Close()
				core, _ := k.Fresh()
				answers <- string(core.JSON)
			}()
		}
		synctest.Wait()
		if len(answers) > 0 {
			t.Fatal("a request did not wait for the first one")
		}
		save(first, rule, legacy200("max-age=60"), `{"v":1}`)
		first.Close()
		for range 3 {
			if got := <-answers; got != `{"v":1}` {
				t.Errorf("core %q", got)
			}
		}
	})
}

// TestCoalesceEnds: a request waits no longer than the budget, nor for a client that has disconnected. If the response
// is not kept, requests do not wait for each other.
func TestCoalesceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := keptRule(t, enrich.KeepPolicy{Cache: true, Coalesce: true}, enrich.DegradeNever)
		cores := enrich.NewCores(newMemory(t), nil, nil)
		req, params := user7()
		recall := func(ctx context.Context) *enrich.Kept {
			k := cores.Recall(ctx, rule, params, req, "", time.Second)
			if _, isFresh := k.Fresh(); isFresh {
				t.Error("a core before there is one")
			}
			return k
		}
		first, began := recall(t.Context()), time.Now()
		recall(t.Context()).Close()
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %v", waited)
		}
		ctx, hangUp := context.WithCancel(t.Context())
		hangUp()
		recall(ctx).Close()
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %v for a client that has hung up", waited)
		}
		waiting := make(chan *enrich.Kept)
		for range 2 {
			go func() { waiting <- recall(t.Context()) }()
		}
		synctest.Wait()
		save(first, rule, legacy200("no-store"), `{"v":1}`)
		first.Close()
		a, b := <-waiting, <-waiting // neither waits for the other one
		a.Close()
		b.Close()
	})
}

// TestNotCoalescedWhileStoreFails: a request does not wait for another one whose core it cannot get.
func TestNotCoalescedWhileStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := keptRule(t, enrich.KeepPolicy{Cache: true, Coalesce: true}, enrich.DegradeNever)
		cores := enrich.NewCores(failing{errors.New("down")}, newMemory(t), nil)
		req, params := user7()
		defer cores.Recall(t.Context(), rule, params, req, "", time.Second).Close()
		began := time.Now()
		defer cores.Recall(t.Context(), rule, params, req, "", time.Second).Close()
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v", waited)
		}
	})
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

// TestCoalesceAfterPanic: requests do not wait for one whose store has panicked.
func TestCoalesceAfterPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := keptRule(t, enrich.KeepPolicy{Cache: true, Coalesce: true}, enrich.DegradeNever)
		cores := enrich.NewCores(failing{}, nil, nil)
		req, params := user7()
		func() {
			defer func() { _ = recover() }()
			k := cores.Recall(t.Context(), rule, params, req, "", time.Second)
			defer k.Close()
			save(k, rule, legacy200("max-age=60"), `{"v":1}`)
		}()
		began := time.Now()
		cores.Recall(t.Context(), rule, params, req, "", time.Second).Close()
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v", waited)
		}
	})
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

// TestCoresOfRandomExchanges runs exchanges that overlap at random, and compares each core that was kept with a model:
//   - it was sent to this caller, or to a caller without credentials,
//   - it is not older than what this caller got before the request, unless the answer says that it is stale,
//   - it was not sent before the legacy service rejected the caller, or before a change of the resource.
//
// The store fails and loses values in half of the runs. Then it has a local one.
func TestCoresOfRandomExchanges(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { runExchanges(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

// modelExchange is an open exchange.
type modelExchange struct {
	kept    *enrich.Kept
	rule    *enrich.Rule
	caller  string // "owner" has a verified claim, "other" has a cookie, "anonymous" has neither
	began   int    // step
	newest  int    // version that the caller had got before the request
	unsafe  bool
	version int // of the response, which the legacy service has made; 0 before it has
}

func runExchanges(t *testing.T, random *rand.Rand) {
	now := time.Unix(1_000_000_000, 0)
	degrade := []enrich.DegradePolicy{enrich.DegradeAlways, enrich.DegradeAuthenticated}[random.IntN(2)]
	rule := keptRule(t, enrich.KeepPolicy{Cache: random.IntN(3) > 0, StaleIfError: time.Hour}, degrade)
	// Another rule shares the cores of requests without credentials.
	other := keptRule(t, enrich.KeepPolicy{Cache: true, MaxStaleIfError: time.Hour}, enrich.DegradeNever)
	clock := func() time.Time { return now }
	cores := enrich.NewCores(newMemory(t), nil, clock)
	if random.IntN(2) == 0 {
		shared := &faultyStore{CoreStore: newMemory(t), fails: randomFault(random, 4), loses: randomFault(random, 10)}
		cores = enrich.NewCores(shared, newMemory(t), clock)
	}
	version := 1
	newest := map[string]int{}               // by caller: version of the last answer
	rejected, changed := map[string]int{}, 0 // step
	maybeChanged := 0                        // the same, but with an unknown outcome
	madeAt := map[int]int{}                  // by version: step at which the last response with it was made
	var open []*modelExchange

	check := func(step int, x *modelExchange, core enrich.Core, isStale bool) {
		t.Helper()
		var got struct {
			version int
			caller  string
		}
		if _, err := fmt.Sscanf(string(core.JSON), `{"v":%d,"to":%q}`, &got.version, &got.caller); err != nil {
			t.Fatalf("%s: %v", core.JSON, err)
		}
		since := x.began
		if isStale { // chosen after the failure
			since = step
		}
		switch {
		case got.caller != x.caller && got.caller != "anonymous":
			t.Fatalf("step %d: %s got the core of %s", step, x.caller, got.caller)
		case x.caller == "other":
			t.Fatalf("step %d: a caller with a cookie got a core that is not public", step)
		case !isStale && got.version < x.newest:
			t.Fatalf("step %d: %s got version %d after %d", step, x.caller, got.version, x.newest)
		case rejected[x.caller] > 0 && madeAt[got.version] < rejected[x.caller] && rejected[x.caller] < since:
			t.Fatalf("step %d: %s was rejected in step %d, and got version %d", step, x.caller, rejected[x.caller], got.version)
		case !isStale && maybeChanged > 0 && madeAt[got.version] < maybeChanged && maybeChanged < since:
			t.Fatalf("step %d: perhaps changed in step %d, and got version %d", step, maybeChanged, got.version)
		case changed > 0 && madeAt[got.version] < changed && changed < since:
			t.Fatalf("step %d: changed in step %d, and got version %d", step, changed, got.version)
		}
		newest[x.caller] = max(newest[x.caller], got.version)
	}
	for step := 1; step < 200; step++ {
		now = now.Add(time.Duration(random.IntN(2000)) * time.Millisecond)
		if len(open) == 0 || random.IntN(3) == 0 {
			x := &modelExchange{caller: []string{"owner", "other", "anonymous"}[random.IntN(3)], began: step}
			x.newest, x.rule = newest[x.caller], rule
			if x.caller == "anonymous" && random.IntN(3) == 0 {
				x.rule = other
			}
			req, params := user7()
			req.IsVerified, req.HasCredentials = x.caller == "owner", x.caller != "anonymous"
			if random.IntN(5) == 0 {
				req.Header.Set("Cache-Control", "no-cache")
			}
			if x.unsafe = random.IntN(8) == 0; x.unsafe {
				req.Method = "PUT"
				x.kept = cores.Unsafe(t.Context(), enrich.NewRules([]*enrich.Rule{x.rule}), req)
			} else {
				x.kept = cores.Recall(t.Context(), x.rule, params, req, "", 0)
				if core, isFresh := x.kept.Fresh(); isFresh {
					check(step, x, core, false)
					x.kept.Close()
					continue
				}
			}
			open = append(open, x)
			continue
		}
		i := random.IntN(len(open))
		x := open[i]
		if x.version == 0 { // the legacy service makes the response
			if x.unsafe || random.IntN(4) == 0 {
				version++
			}
			x.version, madeAt[version] = version, step
			continue
		}
		open = slices.Delete(open, i, i+1)
		resp := legacy200([]string{"max-age=5", "max-age=1", ""}[random.IntN(3)])
		switch kind := random.IntN(8); {
		case x.unsafe && kind < 2: // the client disconnects, or the connection to the legacy service breaks
			if kind == 0 {
				x.kept.Respond(enrich.Response{Origin: enrich.OriginUnreachable, Status: 503})
			}
			maybeChanged = step
		case x.unsafe:
			x.kept.Respond(resp)
			changed = step
		case kind == 0:
			resp.Status = 503
			x.kept.Respond(resp)
			if degrade == enrich.DegradeAuthenticated && x.caller != "owner" {
				break // the verdict is to pass the failure
			}
			if core := x.kept.StandIn(enrich.LegacyError); core.Kept != nil {
				check(step, x, core, true)
			}
		case kind == 1:
			resp.Status = 403
			x.kept.Respond(resp)
			rejected[x.caller] = step
		default:
			save(x.kept, x.rule, resp, fmt.Sprintf(`{"v":%d,"to":%q}`, x.version, x.caller))
			newest[x.caller] = max(newest[x.caller], x.version)
		}
		x.kept.Close()
	}
	for _, x := range open {
		x.kept.Close()
	}
}
