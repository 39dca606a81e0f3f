package observe

import (
	"crypto/x509"
	"encoding/hex"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"weft/enrich"
	"weft/internal/grpcloop"
)

// Metrics are weft's. Label values are few, whatever clients send: names of rules and collections, which the rules file has,
// and reasons, which are constants.
type Metrics struct {
	outcomes children[outcome, prometheus.Counter]
	rules    children[string, *ruleMetrics]
	open     prometheus.Gauge
	mongodb  mongodbMetrics

	reloads    *prometheus.CounterVec
	reloaded   prometheus.Gauge
	rulesInfo  *prometheus.GaugeVec
	misconfigs prometheus.Counter
}

// outcome is the labels of an exchange.
type outcome struct {
	rule        string
	disposition enrich.Disposition
	reason      enrich.Reason
	also        enrich.Reason
}

// ruleMetrics are those of one rule.
type ruleMetrics struct {
	legacy, added, mongodb, coreSize, answerSize prometheus.Observer

	waited prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer, version string) *Metrics {
	m := &Metrics{
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weft_exchanges_open",
			Help: "Exchanges that are under way: Envoy's streams.",
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_rules_reloads_total",
			Help: "Changes of the rules file: applied, or refused because of errors in it.",
		}, []string{"result"}),
		reloaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weft_rules_last_reload_successful",
			Help: "0 while the rules file has errors, so that the rules from before go on; 1 otherwise.",
		}),
		rulesInfo: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weft_rules_info",
			Help: "1 for the rules that are in use, by the hash of their file.",
		}, []string{"hash"}),
		misconfigs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weft_envoy_misconfigurations_total",
			Help: "Things in Envoy's configuration that keep weft from its work. The log says which.",
		}),
	}
	exchanges := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weft_exchanges_total",
		Help: "Exchanges that have ended, by rule, by what became of the response, and why.",
	}, []string{"rule", "disposition", "reason", "also"})
	m.outcomes.create = func(o outcome) prometheus.Counter {
		return exchanges.WithLabelValues(o.rule, string(o.disposition), string(o.reason), string(o.also))
	}
	byRule := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{"rule"})
	}
	legacy := byRule("weft_legacy_duration_seconds",
		"From the request's going on until the legacy service's answer had come, as far as weft asked for it. Envoy's own time is in it.", waits())
	added := byRule("weft_added_duration_seconds",
		"What weft has cost the client beyond the legacy service's answer. Waiting for MongoDB is in it.", delays())
	mongodb := byRule("weft_mongodb_duration_seconds",
		"From the beginning of an exchange's reads until they were there or given up. Most of it goes by while the legacy service works.", waits())
	waited := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weft_mongodb_wait_seconds_total",
		Help: "How long exchanges have waited for MongoDB once the core was there: a part of weft_added_duration_seconds. The rest of it is weft's own.",
	}, []string{"rule"})
	coreSize := byRule("weft_core_size_bytes", "Legacy bodies that weft was sent.", sizes())
	answerSize := byRule("weft_answer_size_bytes", "Bodies that weft made.", sizes())
	m.rules.create = func(rule string) *ruleMetrics {
		return &ruleMetrics{
			legacy: legacy.WithLabelValues(rule), added: added.WithLabelValues(rule), mongodb: mongodb.WithLabelValues(rule),
			waited:   waited.WithLabelValues(rule),
			coreSize: coreSize.WithLabelValues(rule), answerSize: answerSize.WithLabelValues(rule),
		}
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "weft_build_info",
		Help: "1, by weft's version and that of Go.",
	}, []string{"version", "goversion"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	for _, result := range []string{"applied", "refused"} {
		m.reloads.WithLabelValues(result)
	}
	m.reloaded.Set(1)
	r.MustRegister(exchanges, legacy, added, mongodb, waited, coreSize, answerSize, m.open, m.reloads, m.reloaded, m.rulesInfo, m.misconfigs, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.mongodb.register(r)
	return m
}

// waits are buckets for what others take: up to Envoy's usual timeouts.
func waits() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// delays are buckets for what weft takes: mostly microseconds, and at worst Envoy's patience.
func delays() []float64 {
	return []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
}

// sizes are buckets from 256 bytes to 64 MiB.
func sizes() []float64 { return prometheus.ExponentialBuckets(256, 4, 10) }

// Count counts an exchange.
func (m *Metrics) Count(r *enrich.Report) {
	m.outcomes.of(outcome{r.Rule, r.Outcome.Disposition, r.Outcome.Reason, r.Outcome.Also}).Inc()
	if r.Rule == "" || r.Times.Began.IsZero() {
		return
	}
	rule := m.rules.of(r.Rule)
	if r.Status != 0 {
		observe(rule.legacy, r.Times.Legacy.Seconds(), r)
	}
	observe(rule.added, r.Times.Added.Seconds(), r)
	if r.Times.Waited != 0 {
		rule.waited.Add(r.Times.Waited.Seconds())
	}
	if r.Times.Read != 0 {
		observe(rule.mongodb, r.Times.Read.Seconds(), r)
	}
	if r.CoreSize != 0 {
		rule.coreSize.Observe(float64(r.CoreSize))
	}
	if r.AnswerSize != 0 {
		rule.answerSize.Observe(float64(r.AnswerSize))
	}
}

// observe adds a value, and the exchange as its exemplar if somebody can look at its trace.
func observe(o prometheus.Observer, value float64, r *enrich.Report) {
	if e, ok := o.(prometheus.ExemplarObserver); ok && r.Trace.Sampled {
		e.ObserveWithExemplar(value, prometheus.Labels{"trace_id": hex.EncodeToString(r.Trace.ID[:])})
		return
	}
	o.Observe(value)
}

// Open counts the conversations of a handler while they are open.
func (m *Metrics) Open(handler grpcloop.Handler) grpcloop.Handler {
	return func(stream *grpcloop.Stream) error {
		m.open.Inc()
		defer m.open.Dec()
		return handler(stream)
	}
}

// Rules says which rules are in use.
func (m *Metrics) Rules(hash string, rules []*enrich.Rule) {
	m.rulesInfo.Reset()
	m.rulesInfo.WithLabelValues(hash).Set(1)
	for _, r := range rules { // zeros, so that the first one that is counted shows as an increase
		m.rules.of(r.Name)
		m.outcomes.of(outcome{rule: r.Name, disposition: enrich.Composed})
		m.outcomes.of(outcome{rule: r.Name, disposition: enrich.Passed, reason: enrich.NotDegraded})
		for _, reason := range failures() {
			m.outcomes.of(outcome{rule: r.Name, disposition: enrich.Degraded, reason: reason})
		}
	}
}

// failures are the reasons for which somebody may be woken, also by the first one.
func failures() []enrich.Reason {
	return []enrich.Reason{
		enrich.LegacyError, enrich.LegacyUnreachable, enrich.CoreEmpty, enrich.CoreInvalid, enrich.KeyMismatch,
		enrich.ExtensionFailed, enrich.ExtensionTimeout, enrich.ExtensionInvalid, enrich.Overloaded,
	}
}

// WatchCertificate adds the times between which weft's certificate is good: of the one that is in use when Prometheus asks.
func WatchCertificate(r prometheus.Registerer, current func() *x509.Certificate) {
	for name, of := range map[string]func(*x509.Certificate) time.Time{
		"before": func(c *x509.Certificate) time.Time { return c.NotBefore },
		"after":  func(c *x509.Certificate) time.Time { return c.NotAfter },
	} {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "weft_tls_certificate_not_" + name + "_timestamp_seconds",
			Help: "Weft's own certificate is not good " + name + " this (seconds since 1970). Only with --tls-cert.",
		}, func() float64 { return float64(of(current()).Unix()) }))
	}
}

// Reloaded counts a change of the rules file.
func (m *Metrics) Reloaded(applied bool) {
	if applied {
		m.reloads.WithLabelValues("applied").Inc()
		m.reloaded.Set(1)
	} else {
		m.reloads.WithLabelValues("refused").Inc()
		m.reloaded.Set(0)
	}
}

// Misconfigured counts something that is wrong in Envoy's configuration.
func (m *Metrics) Misconfigured() { m.misconfigs.Inc() }
