package module

import (
	"context"
	"iter"
	"net/http"
	"slices"
	"strings"

	"weft/enrich"
)

// copyHeaders returns a copy of headers without those with credentials, and whether there are such.
func copyHeaders(headers iter.Seq2[string, []byte], credentials []string) (h http.Header, hasCredentials bool) {
	h = http.Header{}
	for name, value := range headers {
		if slices.Contains(credentials, name) {
			hasCredentials = true
		} else {
			h.Add(strings.Clone(name), string(value)) // Envoy owns the name
		}
	}
	return h, hasCredentials
}

// recall gets the core that is kept for a request. If the rule has a cache, the request is held until then:
//
//	Envoy                                weft
//	  OnRequest
//	  ◀──────────── Wait: see HoldsRequest
//	  (a goroutine asks the store of cores and, if a core is fresh, waits for MongoDB)
//	  OnScheduled ───────────────────────▶  fresh ──▶ Respond, Replaced
//	                                        continue to the legacy service
func (f *Filter) recall(request enrich.Request, legacyTarget string) {
	f.report.Core = enrich.CoreMiss
	cores, rule, params, budget := f.config.Cores, f.rule, f.params, f.budget
	if !rule.Keep.Cache { // then Recall returns at once
		f.kept = cores.Recall(context.Background(), rule, params, request, legacyTarget, budget)
		return
	}
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(context.Background())
	f.wait(func() result {
		kept := cores.Recall(ctx, rule, params, request, legacyTarget, budget)
		core, isFresh := kept.Fresh()
		if !isFresh {
			return result{kept: kept}
		}
		f.read.Join(core)
		r := f.compose(core)
		r.kept, r.isFresh = kept, true
		return r
	})
	f.recalling = f.result
}

// HoldsRequest reports whether Envoy must hold the request until OnScheduled.
func (f *Filter) HoldsRequest() bool { return f.recalling != nil }

// passAfterChange passes the response once the store has changed.
func (f *Filter) passAfterChange(reason enrich.Reason) Next {
	kept := f.kept
	return f.wait(func() result {
		kept.Wait()
		return result{passed: reason, unchanged: reason == ""}
	})
}

// composeKept composes with a core that is in body or, if the legacy service has failed, with one that stands in.
func (f *Filter) composeKept(body []byte) result {
	core := f.kept.StandIn(f.degraded)
	if f.degraded == "" {
		var passed result
		var ok bool
		if core, passed, ok = f.parse(body); !ok {
			return passed
		}
	}
	f.read.Join(core)
	return f.compose(core)
}

// forget ends the use of the kept core, without blocking.
func (f *Filter) forget() {
	config, rule, kept, recalling, running := f.config, f.report.Rule, f.kept, f.recalling, f.result
	if f.cancel != nil {
		f.cancel()
	}
	if kept == nil && recalling == nil {
		return
	}
	go func() {
		defer func() {
			if err := enrich.AsPanic(recover()); err != nil { // it would end Envoy
				config.panicked(rule, err)
			}
		}()
		switch {
		case recalling != nil:
			kept = (<-recalling).kept
		case running != nil:
			<-running // it uses kept
		}
		kept.Close()
	}()
}
