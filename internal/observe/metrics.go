package observe

import (
	"crypto/x509"
	"encoding/hex"
	"runtime"
	"slices"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"

	"weft/enrich"
)

// Metrics are weft's metrics. The values of their labels are few, whatever clients send: names of rules and
// collections, which are from the rules file, and reasons, which are constants.
type Metrics struct {
	exchanges            *prometheus.CounterVec // by rule, disposition, reason, also
	legacy, added, reads *prometheus.HistogramVec
	coreSize, answerSize *prometheus.HistogramVec
	waited               *prometheus.CounterVec
	open                 prometheus.Gauge
	mongodb              mongodbMetrics
	reloads              *prometheus.CounterVec
	reloaded             prometheus.Gauge
	rulesInfo            *prometheus.GaugeVec

	Misconfigurations prometheus.Counter // faults in Envoy's configuration
	Panics            prometheus.Counter // in exchanges
	DroppedLines      prometheus.Counter // of the log
}

// NewMetrics returns metrics that are registered with r.
func NewMetrics(r prometheus.Registerer, version string) *Metrics {
	f := factory{promauto.With(r)}
	m := &Metrics{
		exchanges: f.counters("weft_exchanges_total",
			"Exchanges that have ended, by rule, by what became of the response, and why.",
			"rule", "disposition", "reason", "also"),
		legacy: f.histograms("weft_legacy_duration_seconds",
			"Time from forwarding the request until the legacy service's response was there, as far as weft asked "+
				"for it. Envoy's own time is included.", waits(), "rule"),
		added: f.histograms("weft_added_duration_seconds",
			"Time that weft added to the legacy service's response. Waiting for MongoDB is included.",
			// Mostly microseconds, and at worst Envoy's message_timeout.
			[]float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}, "rule"),
		reads: f.histograms("weft_mongodb_duration_seconds",
			"Time from the start of an exchange's reads until they were done or given up. "+
				"Most of it passes while the legacy service works.", waits(), "rule"),
		coreSize:   f.histograms("weft_core_size_bytes", "Size of the legacy bodies that weft received.", sizes(), "rule"),
		answerSize: f.histograms("weft_answer_size_bytes", "Size of the bodies that weft made.", sizes(), "rule"),
		waited: f.counters("weft_mongodb_wait_seconds_total",
			"Time that exchanges waited for MongoDB once the core was there: a part of weft_added_duration_seconds.",
			"rule"),
		open: f.gauge("weft_exchanges_open", "Exchanges that are under way: streams of Envoy."),
		reloads: f.counters("weft_rules_reloads_total",
			"Changes of the rules file: applied, or refused because it has errors.", "result"),
		reloaded: f.gauge("weft_rules_last_reload_successful",
			"0 while the rules file has errors, so that the previous rules stay in force; 1 otherwise."),
		rulesInfo: f.gauges("weft_rules_info", "1 for the rules in force, by the hash of their file.", "hash"),
		Misconfigurations: f.counter("weft_envoy_misconfigurations_total",
			"Faults in Envoy's configuration that keep weft from its work. The log names them."),
		Panics: f.counter("weft_panics_total",
			"Panics that ended an exchange, whose legacy response passed. The log has the stack."),
		DroppedLines: f.counter("weft_log_lines_dropped_total",
			"Log lines that were dropped because standard error did not accept them in time."),
		mongodb: newMongodbMetrics(f),
	}
	f.gauges("weft_build_info", "1, by the versions of weft and Go.", "version", "goversion").
		WithLabelValues(version, runtime.Version()).Set(1)
	m.reloads.WithLabelValues("applied")
	m.reloads.WithLabelValues("refused")
	m.reloaded.Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// factory makes metrics and registers them.
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

// waits returns the buckets for times of other services: up to Envoy's usual timeouts.
func waits() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// sizes returns buckets from 256 bytes to 64 MiB.
func sizes() []float64 { return prometheus.ExponentialBuckets(256, 4, 10) }

// Count counts an exchange.
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
	if r.CoreSize != 0 {
		m.coreSize.WithLabelValues(r.Rule).Observe(float64(r.CoreSize))
	}
	if r.AnswerSize != 0 {
		m.answerSize.WithLabelValues(r.Rule).Observe(float64(r.AnswerSize))
	}
}

// observe adds a value. If the trace of the exchange is recorded, it becomes the exemplar.
func observe(o prometheus.Observer, value time.Duration, r *enrich.Report) {
	if e, ok := o.(prometheus.ExemplarObserver); ok && r.Trace.Sampled {
		e.ObserveWithExemplar(value.Seconds(), prometheus.Labels{"trace_id": hex.EncodeToString(r.Trace.ID[:])})
		return
	}
	o.Observe(value.Seconds())
}

// CountOpen is a [grpc.StreamServerInterceptor] that counts exchanges while they are open.
func (m *Metrics) CountOpen(
	srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler,
) error {
	if info.FullMethod == extprocv3.ExternalProcessor_Process_FullMethodName {
		m.open.Inc()
		defer m.open.Dec()
	}
	return handler(srv, stream)
}

// AddOpen counts exchanges that have begun, or with a negative number that have ended, where no gRPC server does.
func (m *Metrics) AddOpen(exchanges int) { m.open.Add(float64(exchanges)) }

// Rules sets the rules in force. The series of rules and collections that are gone are deleted.
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
		// Zeros, so that the first exchange that is counted shows as an increase.
		m.exchanges.WithLabelValues(r.Name, string(enrich.Composed), "", "")
		m.exchanges.WithLabelValues(r.Name, string(enrich.Passed), string(enrich.NotDegraded), "")
		for _, reason := range []enrich.Reason{ // alerts are about these, from the first one on
			enrich.LegacyError, enrich.LegacyUnreachable, enrich.CoreEmpty, enrich.CoreInvalid, enrich.KeyMismatch,
			enrich.ExtensionFailed, enrich.ExtensionTimeout, enrich.ExtensionInvalid, enrich.Overloaded,
		} {
			m.exchanges.WithLabelValues(r.Name, string(enrich.Degraded), string(reason), "")
		}
		for _, v := range histograms {
			v.WithLabelValues(r.Name)
		}
		m.waited.WithLabelValues(r.Name)
	}
	for _, v := range histograms {
		prune(v.MetricVec, "rule", names)
	}
	prune(m.exchanges.MetricVec, "rule", names)
	prune(m.waited.MetricVec, "rule", names)
	prune(m.mongodb.commands.MetricVec, "collection", collections)
	prune(m.mongodb.keys.MetricVec, "collection", collections)
}

// prune deletes the series of which a label has none of the values.
func prune(v *prometheus.MetricVec, label string, values []string) {
	series := make(chan prometheus.Metric)
	go func() {
		defer close(series)
		v.Collect(series)
	}()
	gone := map[string]bool{}
	for s := range series {
		var m dto.Metric
		_ = s.Write(&m) // after an error it has no labels
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

// WatchCertificate adds the times before and after which weft's certificate is not valid. It calls current for each
// scrape.
func WatchCertificate(r prometheus.Registerer, current func() *x509.Certificate) {
	gauge := func(name string, value func() float64) {
		promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{
			Name: "weft_tls_certificate_not_" + name + "_timestamp_seconds",
			Help: "Time " + name + " which weft's own certificate is not valid, in seconds since 1970. " +
				"Only with --tls-cert.",
		}, value)
	}
	gauge("before", func() float64 { return float64(current().NotBefore.Unix()) })
	gauge("after", func() float64 { return float64(current().NotAfter.Unix()) })
}

// Reloaded counts a change of the rules file.
func (m *Metrics) Reloaded(applied bool) {
	result, value := "refused", 0.
	if applied {
		result, value = "applied", 1
	}
	m.reloads.WithLabelValues(result).Inc()
	m.reloaded.Set(value)
}
