package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// measurement is what one variant did under one load.
type measurement struct {
	Requests int                `json:"requests"`
	Seconds  float64            `json:"seconds"`
	PerSec   float64            `json:"requests_per_second"`
	P50      float64            `json:"p50_us"`
	P99      float64            `json:"p99_us"`
	P999     float64            `json:"p999_us"`
	CPU      map[string]float64 `json:"cpu_us_per_request"` // by process
	RSS      map[string]int64   `json:"rss_bytes"`
	Finds    float64            `json:"mongodb_commands_per_request"`
}

// total is the CPU of all processes, in microseconds for each request.
func (m measurement) total() (sum float64) {
	for _, us := range m.CPU {
		sum += us
	}
	return sum
}

// load says how requests come.
type load struct {
	connections int    // closed loop: as many at once
	rate        int    // open loop: so many in a second; 0 for a closed loop
	query       string // of each request
}

// measure loads a variant and returns what it did. An answer that is not as it should be is an error.
func (w *world) measure(ctx context.Context, v *variant, l load) (m measurement, err error) {
	pids := map[string]int{"mongod": w.mongod.Pid(), "legacy service": w.legacy.Pid()}
	for name, pid := range v.processes {
		pids[name] = pid
	}
	before, findsBefore, err := w.look(ctx, pids)
	if err != nil {
		return m, err
	}
	random := rand.New(rand.NewPCG(1, uint64(l.connections)))
	targeter := func(t *vegeta.Target) error {
		t.Method = http.MethodGet
		t.URL = fmt.Sprintf("%s/api/v1/users/%d%s", v.url, random.IntN(users), l.query)
		return nil
	}
	workers := l.connections
	if l.rate > 0 {
		workers = 1024
	}
	attacker := vegeta.NewAttacker(vegeta.Workers(uint64(min(workers, 10))), vegeta.MaxWorkers(uint64(workers)),
		vegeta.Connections(workers), vegeta.MaxConnections(workers), vegeta.Timeout(30*time.Second), vegeta.HTTP2(false))
	if l.rate == 0 {
		attacker = vegeta.NewAttacker(vegeta.Workers(uint64(workers)), vegeta.MaxWorkers(uint64(workers)),
			vegeta.Connections(workers), vegeta.MaxConnections(workers), vegeta.Timeout(30*time.Second), vegeta.HTTP2(false))
	}
	var metrics vegeta.Metrics
	began := time.Now()
	for r := range attacker.Attack(locked(targeter), vegeta.Rate{Freq: l.rate, Per: time.Second}, w.length, v.name) {
		metrics.Add(r)
		whole := bytes.HasSuffix(r.Body, []byte(`"errors":[]}`)) && bytes.HasPrefix(r.Body, []byte(`{"core":{`))
		if err == nil && (r.Code != http.StatusOK || v.composite && !whole) {
			err = fmt.Errorf("%s: %s %d %s %.200q", v.name, r.URL, r.Code, r.Error, r.Body)
		}
	}
	took := time.Since(began)
	if err != nil {
		return m, err
	}
	metrics.Close()
	after, findsAfter, err := w.look(ctx, pids)
	if err != nil {
		return m, err
	}
	n := float64(metrics.Requests)
	m = measurement{
		Requests: int(metrics.Requests), Seconds: took.Seconds(), PerSec: n / took.Seconds(),
		P50: us(metrics.Latencies.P50), P99: us(metrics.Latencies.P99), P999: us(metrics.Latencies.Quantile(0.999)),
		CPU: map[string]float64{}, RSS: map[string]int64{}, Finds: float64(findsAfter-findsBefore) / n,
	}
	for name, pid := range pids {
		m.CPU[name] = us(after[name]-before[name]) / n
		if m.RSS[name], err = resident(pid); err != nil {
			return m, err
		}
	}
	return m, nil
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
