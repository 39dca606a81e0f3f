package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
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
	CPU      map[string]float64 `json:"cpu_us_per_request"`    // by process
	Kernel   map[string]float64 `json:"kernel_us_per_request"` // the part of it that is the kernel's
	Switches map[string]float64 `json:"context_switches_per_request"`
	RSS      map[string]int64   `json:"rss_bytes"`
	Finds    float64            `json:"mongodb_commands_per_request"`
	Mallocs  float64            `json:"weft_allocations_per_request,omitempty"`

	Instructions float64 `json:"envoy_instructions_per_request,omitempty"` // outside of the kernel; only where they are counted
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
	connections int                         // closed loop: as many at once
	share       float64                     // open loop: so much of what the variant can do; 0 for a closed loop
	path        func(*rand.Rand) string     // of each request; nil is a random user
	isWhole     func(url, body string) bool // what an answer must be; nil is what the variant says
}

// isComposite reports whether an answer has both halves, and both of the user that was asked for.
func isComposite(url, body string) bool {
	core, extension, ok := strings.Cut(body, `,"extension":{"userId":`+userOf(url)+",")
	return ok && strings.HasPrefix(core, `{"core":{`) && isCore(url, core[len(`{"core":`):]) && strings.HasSuffix(extension, `},"errors":[]}`)
}

// isCore reports whether an answer begins with the user that was asked for.
func isCore(url, body string) bool {
	rest, ok := strings.CutPrefix(body, `{"userId":`)
	return ok && strings.HasPrefix(strings.TrimPrefix(rest, " "), userOf(url)+",")
}

// userOf returns the last part of a path.
func userOf(url string) string {
	path, _, _ := strings.Cut(url, "?")
	return path[strings.LastIndexByte(path, '/')+1:]
}

// user is the path of a random user.
func user(random *rand.Rand) string { return fmt.Sprintf("/api/v1/users/%d", random.IntN(users)) }

// inParallel is how many requests of an open loop may wait at once.
const inParallel = 512

// measure loads a variant and returns what it did. An answer that is not as it should be is an error.
func (w *world) measure(ctx context.Context, v *variant, l load, length time.Duration) (m measurement, err error) {
	pids := map[string]int{"mongod": w.mongod.Pid(), "legacy service": w.legacy.Pid()}
	for name, pid := range v.processes {
		pids[name] = pid
	}
	countsBefore, err := w.counts(ctx, v)
	if err != nil {
		return m, err
	}
	before, err := usages(pids)
	if err != nil {
		return m, err
	}
	random, path := rand.New(rand.NewPCG(1, uint64(l.connections))), l.path
	if path == nil {
		path = user
	}
	targeter := func(t *vegeta.Target) error {
		t.Method, t.URL = http.MethodGet, v.url+path(random)
		return nil
	}
	workers, maxWorkers, rate := l.connections, l.connections, 0
	if l.share > 0 {
		workers, maxWorkers, rate = 10, inParallel, max(1, int(l.share*v.capacity))
	}
	transport := &http.Transport{MaxConnsPerHost: maxWorkers, MaxIdleConnsPerHost: maxWorkers}
	defer transport.CloseIdleConnections()
	attacker := vegeta.NewAttacker(vegeta.Workers(uint64(workers)), vegeta.MaxWorkers(uint64(maxWorkers)),
		vegeta.Client(&http.Client{Transport: transport, Timeout: 30 * time.Second}))
	isWhole := l.isWhole
	if isWhole == nil {
		isWhole = v.isWhole
	}
	var metrics vegeta.Metrics
	began := time.Now()
	for r := range attacker.Attack(locked(targeter), vegeta.Rate{Freq: rate, Per: time.Second}, length, v.name) {
		metrics.Add(r)
		if err == nil && (r.Code != http.StatusOK || !isWhole(r.URL, string(r.Body))) {
			err = fmt.Errorf("%s: %s %d %s %.200q", v.name, r.URL, r.Code, r.Error, r.Body)
		}
	}
	took := time.Since(began)
	if err != nil {
		return m, err
	}
	metrics.Close()
	after, err := usages(pids)
	if err != nil {
		return m, err
	}
	countsAfter, err := w.counts(ctx, v)
	if err != nil {
		return m, err
	}
	n := float64(metrics.Requests)
	m = measurement{
		Requests: int(metrics.Requests), Seconds: took.Seconds(), PerSec: n / took.Seconds(),
		P50: us(metrics.Latencies.P50), P99: us(metrics.Latencies.P99), P999: us(metrics.Latencies.Quantile(0.999)),
		CPU: map[string]float64{}, Kernel: map[string]float64{}, Switches: map[string]float64{}, RSS: map[string]int64{},
		Finds: (countsAfter.queries - countsBefore.queries) / n, Mallocs: (countsAfter.mallocs - countsBefore.mallocs) / n,
	}
	for name, pid := range pids {
		m.CPU[name] = us(after[name].cpu-before[name].cpu) / n
		m.Kernel[name] = us(after[name].kernel-before[name].kernel) / n
		m.Switches[name] = float64(after[name].switches-before[name].switches) / n
		if m.RSS[name], err = resident(pid); err != nil {
			return m, err
		}
	}
	return m, nil
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
