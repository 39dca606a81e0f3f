package rulesfile

import (
	"slices"
	"strings"

	"weft/enrich"
)

// credentials are the names of headers that always identify the caller.
func credentials() []string {
	return []string{"authorization", "proxy-authorization", "cookie", "x-api-key"}
}

// keep sets Rule.Keep.
func (b *ruleBuilder) keep() {
	r, n := &b.rule, b.n.get("core")
	r.Keep.Cache, _ = n.get("cache").value.(bool)
	r.Keep.Coalesce, _ = n.get("coalesce").value.(bool)
	r.Keep.StaleIfError = b.duration(b.path("core", "stale_if_error"), 0, maxStaleIfError)
	r.Keep.Credentials = credentials()
	for _, name := range b.root.get("envoy", "credentials").elements {
		if name := strings.ToLower(name.str("")); !slices.Contains(r.Keep.Credentials, name) {
			r.Keep.Credentials = append(r.Keep.Credentials, name)
		}
	}
	isNever := r.Degrade == enrich.DegradeNever && !b.isBroken(b.path("degrade"))
	if r.Keep.StaleIfError > 0 && isNever && r.AllowsMissingCore() { // see checkShape
		b.fail(b.path("core", "stale_if_error"), "needs degrade: authenticated or always: %s",
			"if the legacy service fails, it has not authorized the caller")
	}
	if r.Keep.Coalesce && !r.Keep.Cache {
		b.fail(b.path("core", "coalesce"), "needs cache: true")
	}
	if r.Keeps() && !slices.Contains(r.Methods, "GET") && !b.isBroken(b.path("match", "methods")) {
		b.fail(b.path("core"), "cache and stale_if_error apply only to GET, which is not in match.methods")
	}
	if r.Messages.CoreStale != "" && r.Keep.StaleIfError == 0 {
		b.fail(b.path("messages", "core_stale"), "needs core.stale_if_error")
	}
}
