package observe

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"weft/enrich"
)

// Metrics are weft's. Label values are few: names of rules, and reasons that are constants.
type Metrics struct {
	exchanges *prometheus.CounterVec
	reloads   *prometheus.CounterVec
	rules     *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer, version string) *Metrics {
	m := &Metrics{
		exchanges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_exchanges_total",
			Help: "Exchanges that have ended, by rule, by what became of the response, and why.",
		}, []string{"rule", "disposition", "reason", "also"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_rules_reloads_total",
			Help: "Changes of the rules file: applied, or refused since there were mistakes in it.",
		}, []string{"result"}),
		rules: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weft_rules_info",
			Help: "1 for the rules that are in use, by the hash of their file.",
		}, []string{"hash"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "weft_build_info", Help: "1, by version."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	for _, result := range []string{"applied", "refused"} {
		m.reloads.WithLabelValues(result)
	}
	r.MustRegister(m.exchanges, m.reloads, m.rules, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Count counts an exchange.
func (m *Metrics) Count(r enrich.Report) {
	m.exchanges.WithLabelValues(r.Rule, string(r.Outcome.Disposition), string(r.Outcome.Reason), string(r.Outcome.Also)).Inc()
}

// Rules says which rules are in use.
func (m *Metrics) Rules(hash string) {
	m.rules.Reset()
	m.rules.WithLabelValues(hash).Set(1)
}

// Reloaded counts a change of the rules file.
func (m *Metrics) Reloaded(applied bool) {
	if applied {
		m.reloads.WithLabelValues("applied").Inc()
	} else {
		m.reloads.WithLabelValues("refused").Inc()
	}
}
