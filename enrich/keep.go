package enrich

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"hash/maphash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/enrich/httpcache"
)

// KeepPolicy says whether the cores of a rule are kept, and what for. The zero value keeps none.
type KeepPolicy struct {
	Cache        bool          // a fresh core replaces the request to the legacy service (RFC 9111)
	StaleIfError time.Duration // how stale a core may stand in if the legacy service fails (RFC 5861); 0: none does
	Coalesce     bool          // with Cache: concurrent requests for a core wait for the response to the first one

	// MaxStaleIfError is the longest StaleIfError of all rules. Rules with the same path for the legacy service share
	// cores.
	MaxStaleIfError time.Duration

	// Credentials are the names of request headers that identify the caller, in lower case. weft does not get them.
	Credentials []string
}

// Keeps reports whether the rule keeps cores.
func (r *Rule) Keeps() bool { return r.Keep.Cache || r.Keep.StaleIfError > 0 }

// keepFor returns how long stale cores are kept.
func (r *Rule) keepFor() time.Duration { return max(r.Keep.StaleIfError, r.Keep.MaxStaleIfError) }

// KeptCore describes a core that is from an earlier response.
type KeptCore struct {
	Use     CoreUse
	Age     time.Duration // RFC 9111, section 4.2.3
	Instead Reason        // CoreStale: why the legacy service failed

	status int
	fields []Header // of the earlier response, for one that the legacy service does not send; nil if it failed
}

// CoreUse is the use of kept cores in an exchange.
type CoreUse string

const (
	CoreHit         CoreUse = "hit"         // a fresh core, without a request to the legacy service
	CoreRevalidated CoreUse = "revalidated" // the legacy service has confirmed a core with a 304
	CoreMiss        CoreUse = "miss"        // the legacy service was asked for a core
	CoreStale       CoreUse = "stale"       // the legacy service has failed, and an older core stands in
)

// answer returns an answer without a body.
func (k *KeptCore) answer() Answer {
	age := Header{"age", strconv.FormatInt(int64(k.Age/time.Second), 10)}
	a := Answer{Status: k.status, Fields: append(k.fields, age), Outcome: Outcome{Disposition: Composed}}
	if k.Use == CoreStale {
		a.Outcome = Outcome{Disposition: Degraded, Reason: k.Instead, CoreStale: true}
	}
	return a
}

// Cores are the kept cores of all rules. A nil Cores keeps none.
type Cores struct {
	store   CoreStore
	local   CoreStore // nil without one
	now     func() time.Time
	flights flights

	// The store may evict a value, which says what is outdated, before the response to an earlier request arrives.
	changed lastChanges
}

// NewCores returns the cores in a store. If processes share that, local is one in this process: its cores stand in
// while the other one fails or has lost them. It is nil otherwise. now returns the time; nil means time.Now.
func NewCores(store, local CoreStore, now func() time.Time) *Cores {
	if now == nil {
		now = time.Now
	}
	return &Cores{store: store, local: local, now: now, changed: lastChanges{seed: maphash.MakeSeed()}}
}

// Recall returns the core that is kept for a GET request; nil if the rule keeps none. It waits for the store, and for a
// concurrent request of the same core if the rule wants that, but no longer than budget; 0 means no limit. target is
// the path and query for the legacy service if they differ from those of the request. The caller must call
// [Kept.Close].
func (c *Cores) Recall(
	ctx context.Context, rule *Rule, params []Value, req Request, target string, budget time.Duration,
) *Kept {
	if c == nil || !rule.Keeps() || req.Method != http.MethodGet {
		return nil
	}
	target = rule.LegacyTarget(params, cmp.Or(target, req.Path))
	k := &Kept{
		staleIfError: rule.Keep.StaleIfError, keepFor: rule.keepFor(),
		cores: c, rule: rule, params: params, ctx: ctx, requested: c.now(), budget: budget,
		request: httpcache.Request{Method: req.Method, Header: req.Header, HasCredentials: req.HasCredentials},
		isOwn:   rule.Degrade == DegradeAuthenticated && req.IsVerified,
	}
	var owner []Value
	if k.isOwn {
		owner = params
	}
	if req.HasCredentials {
		k.request.Hidden = func(name string) bool {
			name = strings.ToLower(name)
			isToken := k.isOwn && name == "authorization" // which is renewed, but says the same
			return !isToken && slices.Contains(rule.Keep.Credentials, name)
		}
	}
	k.keys = []string{coreKey(req.Host, target, owner)}
	if !rule.Keep.Cache {
		return k // the core is needed only if the legacy service fails
	}
	_, err := k.find(ctx, c.store)
	if k.use == httpcache.Fresh || !rule.Keep.Coalesce || req.HasBody || err != nil { // a wait would be in vain
		return k
	}
	if budget > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, budget)
		defer cancel()
	}
	isFirst, land := c.flights.join(ctx, k.keys[0])
	if k.land = land; !isFirst {
		_, _ = k.find(ctx, c.store)
	}
	return k
}

// Unsafe returns what rules keep for the resource of a request that may change it (RFC 9111, section 4.4), whether or
// not a rule matches the request itself. It returns nil if the method is safe, or if nothing can be kept. The caller
// must call [Kept.Close].
func (c *Cores) Unsafe(ctx context.Context, rules Rules, req Request) *Kept {
	if c == nil || isSafe(req.Method) {
		return nil
	}
	k := &Kept{cores: c, ctx: ctx, request: httpcache.Request{Method: req.Method}, requested: c.now()}
	path, query, _ := strings.Cut(req.Path, "?")
	for _, rule := range rules.candidates(path) {
		params, ok := rule.matchTarget(nil, req.Host, path, query)
		if !ok || !rule.Keeps() {
			continue
		}
		_, selected, _ := rule.Narrow(req.Path)
		target := rule.LegacyTarget(params, cmp.Or(selected, req.Path))
		k.keys = append(k.keys, coreKey(req.Host, target, nil), coreKey(req.Host, target, params))
		k.keepFor = max(k.keepFor, rule.keepFor())
	}
	if k.keys == nil {
		return nil
	}
	return k
}

// isSafe reports whether a method is safe (RFC 9110, section 9.2.1).
func isSafe(method string) bool {
	return isRead(method) || method == http.MethodOptions || method == http.MethodTrace
}

// LegacyTarget returns the path and query that the legacy service gets for those of a request. Only the digits of a
// UUID or an ObjectId in a rewritten path may be spelled differently.
func (r *Rule) LegacyTarget(params []Value, target string) string {
	if r.LegacyPath.IsZero() {
		return target
	}
	path := r.LegacyPath.Expand(r.Path, params)
	if _, query, hasQuery := strings.Cut(target, "?"); hasQuery {
		path += "?" + query
	}
	return path
}

// coreKey returns the key of a core. If it has an owner, that is the first of the parameters.
func coreKey(host, target string, owner []Value) string {
	parts := []string{strings.ToLower(host), target}
	if len(owner) > 0 {
		parts = append(parts, owner[0].String())
	}
	hash := sha256.Sum256([]byte(strings.Join(parts, "\n"))) // clients choose the parts: bounded, and without collisions
	return base64.RawURLEncoding.EncodeToString(hash[:])
}
