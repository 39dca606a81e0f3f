package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// load describes the requests to a variant.
type load struct {
	connections int                         // closed loop: number of connections
	share       float64                     // open loop: rate as a share of the variant's capacity; 0 is a closed loop
	path        func(*rand.Rand) string     // returns the path of the next request
	valid       func(url, body string) bool // checks a response; nil means the variant's
}

// Processes of the benchmark itself.
const (
	loadGenerator = "load generator"
	delayProxy    = "delay proxy"
)

// maxInFlight is the maximum number of concurrent requests of an open loop.
const maxInFlight = 512

// measurement has the figures of a variant under a load.
type measurement struct {
	PerSec   float64            `json:"requests_per_second"`
	P50      float64            `json:"p50_us"`
	P99      float64            `json:"p99_us"`
	P999     float64            `json:"p999_us"`
	CPU      map[string]float64 `json:"cpu_us_per_request"` // by process
	RSS      map[string]float64 `json:"rss_bytes"`          // by process
	Commands float64            `json:"mongodb_commands_per_request"`
	Mallocs  float64            `json:"weft_allocations_per_request,omitempty"`
}

// totalCPU returns the CPU time of all processes in µs per request, without that of the benchmark itself.
func (m measurement) totalCPU() (sum float64) {
	for _, us := range m.CPU {
		sum += us
	}
	return sum - m.benchCPU()
}

// benchCPU returns the CPU time of the benchmark itself in µs per request.
func (m measurement) benchCPU() float64 { return m.CPU[loadGenerator] + m.CPU[delayProxy] }

// cpusInUse returns how many CPUs all processes used together. If it is close to those of the machine, latencies are
// times of waiting for a CPU.
func (m measurement) cpusInUse() float64 { return (m.totalCPU() + m.benchCPU()) * m.PerSec / 1e6 }

// measure puts a load on a variant. An invalid response is an error.
func (b *testbed) measure(ctx context.Context, v *variant, l load, length time.Duration) (m measurement, err error) {
	pids := map[string]int{"mongod": b.shared.Mongod.Pid(), "legacy service": b.legacy.Pid(), loadGenerator: os.Getpid()}
	if b.proxy != nil {
		pids[delayProxy] = b.proxy.Pid()
	}
	maps.Copy(pids, v.pids)
	before, err := b.count(ctx, v, pids)
	if err != nil {
		return m, err
	}
	latencies, took, err := attack(v, l, length)
	if err != nil {
		return m, err
	}
	after, err := b.count(ctx, v, pids)
	if err != nil {
		return m, err
	}
	n := float64(latencies.Requests)
	m = measurement{
		PerSec:   n / took.Seconds(),
		P50:      us(latencies.Latencies.P50),
		P99:      us(latencies.Latencies.P99),
		P999:     us(latencies.Latencies.Quantile(0.999)),
		Commands: float64(after.queries-before.queries) / n,
		Mallocs:  (after.mallocs - before.mallocs) / n,
		CPU:      map[string]float64{},
		RSS:      map[string]float64{},
	}
	for name, pid := range pids {
		m.CPU[name] = us(after.cpu[name]-before.cpu[name]) / n
		if m.RSS[name], err = residentBytes(pid); err != nil {
			return m, err
		}
	}
	return m, nil
}

// attack sends the requests of a load and checks the responses.
func attack(v *variant, l load, length time.Duration) (m vegeta.Metrics, took time.Duration, err error) {
	workers, maxWorkers, rate := l.connections, l.connections, 0
	if l.share > 0 {
		workers, maxWorkers, rate = 10, maxInFlight, max(1, int(l.share*v.capacity))
	}
	valid := l.valid
	if valid == nil {
		valid = v.valid
	}
	transport := &http.Transport{MaxConnsPerHost: maxWorkers, MaxIdleConnsPerHost: maxWorkers}
	defer transport.CloseIdleConnections()
	attacker := vegeta.NewAttacker(vegeta.Workers(uint64(workers)), vegeta.MaxWorkers(uint64(maxWorkers)),
		vegeta.Client(&http.Client{Transport: transport, Timeout: 30 * time.Second}))
	var mu sync.Mutex // guards random
	random := rand.New(rand.NewPCG(1, uint64(l.connections)))
	target := func(t *vegeta.Target) error {
		mu.Lock()
		defer mu.Unlock()
		t.Method, t.URL = http.MethodGet, v.url+l.path(random)
		return nil
	}
	start := time.Now()
	for r := range attacker.Attack(target, vegeta.Rate{Freq: rate, Per: time.Second}, length, v.name) {
		m.Add(r)
		if err == nil && (r.Code != http.StatusOK || !valid(r.URL, string(r.Body))) {
			err = fmt.Errorf("%s: %s %d %s %.200q", v.name, r.URL, r.Code, r.Error, r.Body)
		}
	}
	took = time.Since(start)
	m.Close()
	return m, took, err
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
