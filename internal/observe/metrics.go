package observe

import (
	"crypto/x509"
	"encoding/hex"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	dto "github.com/prometheus/client_model/go"

	"weft/enrich"
)

// Metrics are weft's metrics. Their cardinality does not depend on clients: label values are the names of rules and
// collections in the rules file, and reasons, which are constants.
type Metrics struct {
	exchanges            *prometheus.CounterVec // by rule, disposition, reason, also
	legacy, added, reads *prometheus.HistogramVec
	coreSize, answerSize *prometheus.HistogramVec
	waited               *prometheus.CounterVec
	cores                *prometheus.CounterVec // by rule and use
	coreAge              *prometheus.HistogramVec
	open                 prometheus.Gauge
	mongodb              mongodbMetrics
	reloads              *prometheus.CounterVec
	reloaded             prometheus.Gauge
	rulesInfo            *prometheus.GaugeVec

	Misconfigurations prometheus.Counter // errors in Envoy's configuration
	Panics            prometheus.Counter // in exchanges
	DroppedLines      prometheus.Counter // of the log
	FilesPolled       prometheus.Gauge   // 1 if changes of files are seen late
}

// NewMetrics returns metrics registered with r.
func NewMetrics(r prometheus.Registerer, version string) *Metrics {
	f := factory{promauto.With(r)}
	m := &Metrics{
		exchanges: f.counters("weft_exchanges_total",
			"Exchanges that ended, by rule, disposition of the response, and reason.",
			"rule", "disposition", "reason", "also"),
		legacy: f.histograms("weft_legacy_duration_seconds",
			"Time from forwarding the request until the part of the legacy response that weft needs arrived. "+
				"Includes Envoy's own time.", waits(), "rule"),
		added: f.histograms("weft_added_duration_seconds",
			"Latency that weft added to the legacy response. Includes waiting for MongoDB.",
			// Usually microseconds; at most Envoy's message_timeout.
			[]float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}, "rule"),
		reads: f.histograms("weft_mongodb_duration_seconds",
			"Time from the start of an exchange's reads until they ended or were abandoned. "+
				"Reads run concurrently with the legacy request.", waits(), "rule"),
		coreSize:   f.histograms("weft_core_size_bytes", "Size of legacy bodies received.", sizes(), "rule"),
		answerSize: f.histograms("weft_response_size_bytes", "Size of bodies composed.", sizes(), "rule"),
		waited: f.counters("weft_mongodb_wait_seconds_total",
			"Time that exchanges waited for MongoDB after the core arrived; a part of weft_added_duration_seconds.",
			"rule"),
		cores: f.counters("weft_core_cache_total",
			"Exchanges of rules that keep cores, by result: hit, revalidated (a 304 of the legacy service), miss, or stale "+
				"(an older core stood in for a failure).", "rule", "result"),
		coreAge: f.histograms("weft_core_cache_age_seconds", "Age of kept cores in responses.",
			[]float64{1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}, "rule"),
		open: f.gauge("weft_exchanges_open", "Exchanges in progress: ext_proc streams from Envoy."),
		reloads: f.counters("weft_rules_reloads_total",
			"Changes of the rules file, by result: applied, or rejected because of errors.", "result"),
		reloaded: f.gauge("weft_rules_last_reload_successful",
			"0 while the rules file has errors and the previous rules stay in use; 1 otherwise."),
		FilesPolled: f.gauge("weft_files_polled",
			"1 while weft polls the rules file or those of a connection, because the system has no inotify instance "+
				"left; 0 otherwise."),
		rulesInfo: f.gauges("weft_rules_info", "1 for the rules in use, by the hash of their file.", "hash"),
		Misconfigurations: f.counter("weft_envoy_misconfigurations_total",
			"Errors in Envoy's configuration that prevent composition. The log describes each."),
		Panics: f.counter("weft_panics_total",
			"Panics recovered in exchanges; their legacy responses passed. The log has the stack."),
		DroppedLines: f.counter("weft_log_lines_dropped_total",
			"Log lines dropped because standard error blocked."),
		mongodb: newMongodbMetrics(f),
	}
	f.gauges("weft_build_info", "1, with the versions of weft and Go as labels.", "version", "goversion").
		WithLabelValues(version, runtime.Version()).Set(1)
	m.reloads.WithLabelValues("applied")
	m.reloads.WithLabelValues("rejected")
	m.reloaded.Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// factory creates and registers metrics.
type factory struct{ promauto.Factory }

func (f factory) counter(name, help string) prometheus.Counter {
	return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func (f factory) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func (f factory) gauge(name, help string) prometheus.Gauge {
	return f.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

func (f factory) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func (f factory) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return f.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// waits returns buckets for waiting times, in seconds, up to the usual timeouts in Envoy.
func waits() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// sizes returns buckets for sizes, from 256 bytes to 64 MiB.
func sizes() []float64 { return prometheus.ExponentialBuckets(256, 4, 10) }

// Count records an exchange that has ended.
func (m *Metrics) Count(r *enrich.Report) {
	o := r.Outcome
	m.exchanges.WithLabelValues(r.Rule, string(o.Disposition), string(o.Reason), string(o.Also)).Inc()
	if r.Rule == "" {
		return
	}
	if r.Status != 0 {
		observe(m.legacy.WithLabelValues(r.Rule), r.Times.Legacy, r)
	}
	observe(m.added.WithLabelValues(r.Rule), r.Times.Added, r)
	if r.Times.Waited != 0 {
		m.waited.WithLabelValues(r.Rule).Add(r.Times.Waited.Seconds())
	}
	if r.Times.Read != 0 {
		observe(m.reads.WithLabelValues(r.Rule), r.Times.Read, r)
	}
	if r.Core != "" {
		m.cores.WithLabelValues(r.Rule, string(r.Core)).Inc()
		if r.Core != enrich.CoreMiss {
			m.coreAge.WithLabelValues(r.Rule).Observe(r.CoreAge.Seconds())
		}
	}
	if r.CoreSize != 0 {
		m.coreSize.WithLabelValues(r.Rule).Observe(float64(r.CoreSize))
	}
	if r.AnswerSize != 0 {
		m.answerSize.WithLabelValues(r.Rule).Observe(float64(r.AnswerSize))
	}
}

// observe records a duration, with the trace as exemplar if the trace is sampled.
func observe(o prometheus.Observer, value time.Duration, r *enrich.Report) {
	if e, ok := o.(prometheus.ExemplarObserver); ok && r.Trace.Sampled {
		e.ObserveWithExemplar(value.Seconds(), prometheus.Labels{"trace_id": hex.EncodeToString(r.Trace.ID[:])})
		return
	}
	o.Observe(value.Seconds())
}

// AddOpen changes the number of open exchanges.
func (m *Metrics) AddOpen(exchanges int) { m.open.Add(float64(exchanges)) }

// Rules sets the rules in use. It deletes the series of rules and collections that are not in rules.
func (m *Metrics) Rules(hash string, rules []*enrich.Rule) {
	m.rulesInfo.Reset()
	m.rulesInfo.WithLabelValues(hash).Set(1)
	histograms := []*prometheus.HistogramVec{m.legacy, m.added, m.reads, m.coreSize, m.answerSize}
	names, collections := []string{""}, []string(nil)
	for _, r := range rules {
		names = append(names, r.Name)
		for _, src := range r.Sources {
			collections = append(collections, src.Collection)
		}
		// Without an initial zero, increase() misses the first exchange.
		m.exchanges.WithLabelValues(r.Name, string(enrich.Composed), "", "")
		m.exchanges.WithLabelValues(r.Name, string(enrich.Passed), string(enrich.NotDegraded), "")
		for _, reason := range []enrich.Reason{ // alerts fire on these
			enrich.LegacyError, enrich.LegacyUnreachable, enrich.CoreEmpty, enrich.CoreInvalid, enrich.KeyMismatch,
			enrich.ExtensionFailed, enrich.ExtensionTimeout, enrich.ExtensionInvalid, enrich.Overloaded,
		} {
			m.exchanges.WithLabelValues(r.Name, string(enrich.Degraded), string(reason), "")
		}
		for _, v := range histograms {
			v.WithLabelValues(r.Name)
		}
		m.waited.WithLabelValues(r.Name)
		if r.Keeps() {
			m.coreAge.WithLabelValues(r.Name)
			for _, use := range []enrich.CoreUse{
				enrich.CoreHit, enrich.CoreRevalidated, enrich.CoreMiss, enrich.CoreStale,
			} {
				m.cores.WithLabelValues(r.Name, string(use))
			}
		}
	}
	for _, v := range histograms {
		prune(v.MetricVec, "rule", names)
	}
	prune(m.exchanges.MetricVec, "rule", names)
	prune(m.waited.MetricVec, "rule", names)
	prune(m.cores.MetricVec, "rule", names)
	prune(m.coreAge.MetricVec, "rule", names)
	prune(m.mongodb.commands.MetricVec, "collection", collections)
	prune(m.mongodb.keys.MetricVec, "collection", collections)
}

// prune deletes the series whose label has a value that is not in values.
func prune(v *prometheus.MetricVec, label string, values []string) {
	series := make(chan prometheus.Metric)
	go func() {
		defer close(series)
		v.Collect(series)
	}()
	gone := map[string]bool{}
	for s := range series {
		var m dto.Metric
		_ = s.Write(&m) // after an error m has no labels
		for _, pair := range m.GetLabel() {
			if pair.GetName() == label && !slices.Contains(values, pair.GetValue()) {
				gone[pair.GetValue()] = true
			}
		}
	}
	for value := range gone {
		v.DeletePartialMatch(prometheus.Labels{label: value})
	}
}

// WatchCertificate registers gauges for the validity period of weft's certificate. Each scrape calls current.
func WatchCertificate(r prometheus.Registerer, current func() *x509.Certificate) {
	gauge := func(name string, value func() float64) {
		promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{
			Name: "weft_tls_certificate_not_" + name + "_timestamp_seconds",
			Help: "Unix time " + name + " which weft's certificate is not valid. Only with --tls-cert.",
		}, value)
	}
	gauge("before", func() float64 { return float64(current().NotBefore.Unix()) })
	gauge("after", func() float64 { return float64(current().NotAfter.Unix()) })
}

// Reloaded records a change of the rules file, which was applied or rejected.
func (m *Metrics) Reloaded(applied bool) {
	result, value := "rejected", 0.
	if applied {
		result, value = "applied", 1
	}
	m.reloads.WithLabelValues(result).Inc()
	m.reloaded.Set(value)
}
