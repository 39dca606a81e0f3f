package module_test

import (
	"context"
	"testing"
	"time"

	"weft/enrich"
	"weft/enrich/corestore"
	"weft/envoy/module"
	"weft/internal/rulesfile"
)

// panickingCores is a store of cores that panics.
type panickingCores struct{ gets bool } // Get does not panic

func (p panickingCores) Get(context.Context, string) ([]byte, error) {
	if !p.gets {
		panic("no")
	}
	return nil, nil
}
func (panickingCores) MaxValue(string) int { return 1 << 20 }
func (panickingCores) Update(context.Context, string, func([]byte) ([]byte, time.Duration)) error {
	panic("no")
}

// cachingRules returns the built-in rules, with a cache of cores.
func cachingRules() enrich.Rules {
	rules := rulesfile.Builtin().Rules
	for _, r := range rules {
		r.Keep.Cache = true
	}
	return enrich.NewRules(rules)
}

// TestPanicWhileRequestIsHeld: a panic in the store of cores passes the request, and then the response.
func TestPanicWhileRequestIsHeld(t *testing.T) {
	f := newFixtureWith(store{}, cachingRules())
	f.Cores = enrich.NewCores(panickingCores{}, nil, nil)
	filter, s := f.begin(t)
	<-s.scheduled
	expect(t, filter.OnScheduled(), module.Continue)
	next, _ := filter.OnResponse(headers(":status", "200"), "via_upstream", false)
	expect(t, next, module.Continue)
	filter.OnDestroy()
	f.expectReport(t, "passed; reason=panic")
}

// TestPanicAfterDestroy: a panic in the store of cores after a client has disconnected does not end Envoy.
func TestPanicAfterDestroy(t *testing.T) {
	f := newFixtureWith(store{}, cachingRules())
	f.Cores = enrich.NewCores(panickingCores{gets: true}, nil, nil)
	panicked := make(chan *enrich.PanicError, 1)
	f.Panicked = func(_ string, err *enrich.PanicError) { panicked <- err }
	filter := f.OnRequest(&stream{}, headers(":method", "PUT", ":path", "/api/v1/users/7"), "", true)
	filter.OnDestroy()
	if err := <-panicked; err == nil {
		t.Error("no error")
	}
}

// TestKeepsAfterDestroy: a client disconnects while a goroutine parses the core, which is kept.
func TestKeepsAfterDestroy(t *testing.T) {
	f := newFixtureWith(store{}, cachingRules())
	cores := corestore.NewMemory(1 << 20)
	defer cores.Close()
	f.Cores = enrich.NewCores(cores, nil, nil)
	filter, s := f.begin(t)
	<-s.scheduled
	expect(t, filter.OnScheduled(), module.Continue)
	filter.OnResponse(headers(":status", "200", "cache-control", "max-age=60"), "via_upstream", false)
	s.body = core
	expect(t, filter.OnBody(true), module.Wait)
	filter.OnDestroy()
	<-s.scheduled

	filter, s = f.begin(t)
	<-s.scheduled
	expect(t, filter.OnScheduled(), module.Replaced)
	filter.OnDestroy()
}
