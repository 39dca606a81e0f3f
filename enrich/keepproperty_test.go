package enrich_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"weft/enrich"
)

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

// randomFault returns a fault of a store for one of n calls.
func randomFault(random *rand.Rand, n int) func() bool {
	return func() bool { return random.IntN(n) == 0 }
}
