package module_test

import (
	"context"
	"testing"
	"time"

	"weft/enrich"
	"weft/internal/rulesfile"
)

// panickingCores is a store of cores that panics.
type panickingCores struct{}

func (panickingCores) Get(context.Context, string) ([]byte, error) { return nil, nil }
func (panickingCores) MaxValue(string) int                         { return 1 << 20 }
func (panickingCores) Update(context.Context, string, func([]byte) ([]byte, time.Duration)) error {
	panic("no")
}

// TestPanicAfterDestroy: a panic in the store of cores after a client has disconnected does not end Envoy.
func TestPanicAfterDestroy(t *testing.T) {
	rules := rulesfile.Builtin().Rules
	for _, r := range rules {
		r.Keep.Cache = true
	}
	f := newFixtureWith(store{}, enrich.NewRules(rules))
	f.Cores = enrich.NewCores(panickingCores{}, nil)
	panicked := make(chan *enrich.PanicError, 1)
	f.Panicked = func(_ string, err *enrich.PanicError) { panicked <- err }
	filter := f.OnRequest(&stream{}, headers(":method", "PUT", ":path", "/api/v1/users/7"), "", true)
	filter.OnDestroy()
	if err := <-panicked; err == nil {
		t.Error("no error")
	}
}
