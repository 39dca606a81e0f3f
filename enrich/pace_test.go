package enrich

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "write the generated files")

// load is the result of a simulation.
type load struct {
	times    []time.Duration // of each read
	commands int
	took     time.Duration
}

func (l load) median() time.Duration {
	slices.Sort(l.times)
	return l.times[len(l.times)/2]
}

// perRead returns the number of commands per read.
func (l load) perRead() float64 { return float64(l.commands) / float64(len(l.times)) }

// simulate runs clients against a Batch in a synctest bubble. Only the round trip, the legacy service and the clients
// take time: each client calls read for an exchange, which awaits its read when the legacy service has responded.
// legacy returns the time for the nth response.
func simulate(
	t *testing.T, roundTrip time.Duration, legacy func(n int64) time.Duration, clients func(read func()) (wait func()),
) (l load) {
	synctest.Test(t, func(t *testing.T) {
		var commands, key atomic.Int64
		store := Batch(storeFunc(func(_ context.Context, keys []Key) []Extension {
			commands.Add(1)
			time.Sleep(roundTrip)
			found := extensionsOf(keys, nil)
			for i := range found {
				found[i].Command = &Command{}
			}
			return found
		}))
		rule := Rule{Sources: []*Source{{Where: []Condition{{Field: "id", From: FromParam, Type: Int64}}}}}.Ready()
		store.Find(t.Context(), rule.Sources[0], []Key{number(0)}) // measures the round trip
		commands.Store(0)
		time.Sleep(time.Second)
		var mu sync.Mutex
		began := time.Now()
		clients(func() {
			readBegan := time.Now()
			n := key.Add(1)
			r := Fetch(t.Context(), store, rule, number(n))
			defer r.Stop()
			time.Sleep(legacy(n))
			r.Await(Core{}, 0)
			mu.Lock()
			defer mu.Unlock()
			l.times = append(l.times, time.Since(readBegan))
		})()
		l.took, l.commands = time.Since(began), int(commands.Load())
		time.Sleep(maxCommandTime)
	})
	return l
}

func instant(int64) time.Duration { return 0 }

// closedLoop returns clients of which each reads again when its last read is done and it has worked for some time.
func closedLoop(connections int, work time.Duration) func(read func()) (wait func()) {
	return func(read func()) func() {
		var clients sync.WaitGroup
		random := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		for range connections {
			clients.Go(func() {
				for range 200 {
					mu.Lock()
					jitter := time.Duration(random.Int64N(int64(work)))
					mu.Unlock()
					time.Sleep(work/2 + jitter)
					read()
				}
			})
		}
		return clients.Wait
	}
}

// openLoop returns clients that start rate reads per second for two seconds, independent of responses: single
// (Poisson), or in bursts of 20 that arrive at the same moment.
func openLoop(rate float64, isBursty bool) func(read func()) (wait func()) {
	return func(read func()) func() {
		random := rand.New(rand.NewPCG(3, 4))
		burst := 1
		if isBursty {
			burst = 20
		}
		var reads sync.WaitGroup
		at := time.Duration(0)
		for at < 2*time.Second {
			at += time.Duration(random.ExpFloat64() / rate * float64(burst) * float64(time.Second))
			arrival := at
			for range burst {
				reads.Go(func() {
					time.Sleep(arrival)
					read()
				})
			}
		}
		return reads.Wait
	}
}

// TestNoReadWaitsWithoutNeed: if the database is remote, a read takes little more than the round trip, for any number
// of clients, and two clients get twice the results of one.
func TestNoReadWaitsWithoutNeed(t *testing.T) {
	const work = 700 * time.Microsecond // time of Envoy and the client for a result
	for _, roundTrip := range []time.Duration{2200 * time.Microsecond, 5200 * time.Microsecond, 10200 * time.Microsecond} {
		one := simulate(t, roundTrip, instant, closedLoop(1, work))
		for _, connections := range []int{2, 4, 16, 64, 256} {
			many := simulate(t, roundTrip, instant, closedLoop(connections, work))
			if ratio := float64(many.median()+work) / float64(one.median()+work); ratio > 1.10 {
				t.Errorf("round trip %v, %d connections: p50 is %.2f times that of one", roundTrip, connections, ratio)
			}
			throughput := float64(len(many.times)) / many.took.Seconds() / (float64(len(one.times)) / one.took.Seconds())
			if throughput < 0.90*float64(connections) || connections == 2 && throughput < 1.9 {
				t.Errorf("round trip %v, %d connections: %.2f times the results of one", roundTrip, connections, throughput)
			}
			if connections == 256 && many.perRead() > 0.15 {
				t.Errorf("round trip %v, %d connections: %.2f commands per read", roundTrip, connections, many.perRead())
			}
		}
	}
}

// TestUnawaitedReadsAreGathered: if the legacy service takes longer than MongoDB, fewer commands run, and no
// exchange takes longer than the legacy service.
func TestUnawaitedReadsAreGathered(t *testing.T) {
	const work, roundTrip, slow = 700 * time.Microsecond, 2200 * time.Microsecond, 8800 * time.Microsecond
	for _, connections := range []int{16, 64, 256} {
		fast := simulate(t, roundTrip, instant, closedLoop(connections, work))
		l := simulate(t, roundTrip, func(int64) time.Duration { return slow }, closedLoop(connections, work))
		if slowest := slices.Max(l.times); slowest > slow {
			t.Errorf("%d connections: an exchange takes %v, want %v", connections, slowest, slow)
		}
		if l.perRead() > fast.perRead()*0.55 {
			t.Errorf("%d connections: %.3f commands per read, %.3f with an instant legacy service",
				connections, l.perRead(), fast.perRead())
		}
	}
}

// TestFewAwaitedReads: if only every fifth read is awaited, it waits for a quarter of a round trip at most, on average.
func TestFewAwaitedReads(t *testing.T) {
	const work, roundTrip, slow = 700 * time.Microsecond, 2200 * time.Microsecond, 22 * time.Millisecond
	legacy := func(n int64) time.Duration {
		if n%5 == 0 {
			return 0
		}
		return slow
	}
	for _, connections := range []int{4, 16, 64, 256} {
		l := simulate(t, roundTrip, legacy, closedLoop(connections, work))
		awaited := slices.DeleteFunc(l.times, func(d time.Duration) bool { return d >= slow })
		var waited time.Duration
		for _, d := range awaited {
			waited += d - roundTrip
		}
		if mean := waited / time.Duration(len(awaited)); mean > roundTrip/4 {
			t.Errorf("%d connections: the mean wait is %v, with a round trip of %v", connections, mean, roundTrip)
		}
	}
}

// TestOneCommandAtATimeOnLoopback: if the round trip is short, a command costs more than it saves.
func TestOneCommandAtATimeOnLoopback(t *testing.T) {
	for _, connections := range []int{64, 256} {
		l := simulate(t, 150*time.Microsecond, instant, closedLoop(connections, 5*time.Millisecond))
		if most := l.took / (150 * time.Microsecond); time.Duration(l.commands) > most+1 {
			t.Errorf("%d connections: %d commands in %v", connections, l.commands, l.took)
		}
	}
}

// TestRoundTripIsForgotten: a database whose round trip has become longer soon gets several commands at a time.
func TestRoundTripIsForgotten(t *testing.T) {
	var p pace
	now := time.Now()
	expect := func(when string, want int) {
		t.Helper()
		if got := p.concurrency(1); got != want {
			t.Errorf("%s: %d commands at a time, want %d", when, got, want)
		}
	}
	expect("before the first command", 1)
	p.observe(now, 150*time.Microsecond)
	expect("near", 1)
	p.observe(now.Add(time.Second), 5*time.Millisecond)
	expect("one slow command", 1)
	p.observe(now.Add(paceWindow), 5*time.Millisecond)
	expect("in the next window", 1)
	p.observe(now.Add(2*paceWindow), 5*time.Millisecond)
	expect("two windows later", 8)
	p.observe(now.Add(2*paceWindow+1), 150*time.Microsecond)
	expect("near again", 1)
	p.observe(now.Add(10*paceWindow), 20*time.Millisecond)
	expect("after a pause", maxConcurrency)
}

// TestPaceOfArrivals measures the policy: the time that reads wait in addition to the round trip, and the commands per
// read, by the number of reads that arrive during a round trip. With -update it draws docs/images/batching.svg.
func TestPaceOfArrivals(t *testing.T) {
	const roundTrip = 5 * time.Millisecond
	rates := []float64{40, 100, 200, 400, 1000, 2000, 4000}
	series := map[string][2][]float64{} // waits, in round trips, and commands per read
	for name, isBursty := range map[string]bool{"Poisson": false, "bursts of 20": true} {
		var waits, commands []float64
		for _, rate := range rates {
			l := simulate(t, roundTrip, instant, openLoop(rate, isBursty))
			var sum time.Duration
			for _, d := range l.times {
				sum += d - roundTrip
			}
			wait := sum.Seconds() / float64(len(l.times)) / roundTrip.Seconds()
			waits, commands = append(waits, wait), append(commands, l.perRead())
			if wait > 0.10 {
				t.Errorf("%s, %v reads/s: the mean wait is %.2f round trips", name, rate, wait)
			}
		}
		series[name] = [2][]float64{waits, commands}
		// At most the commands that keep maxConcurrency in flight, and at most one per read.
		for i, rate := range rates {
			if most := min(1, 1.1*maxConcurrency/(rate*roundTrip.Seconds())); commands[i] > most {
				t.Errorf("%s, %v reads/s: %.2f commands per read, want %.2f at most", name, rate, commands[i], most)
			}
		}
	}
	if *update { // drawings differ slightly by the order in which goroutines run
		if err := os.WriteFile("../docs/images/batching.svg", []byte(draw(rates, roundTrip, series)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// draw returns two diagrams with a logarithmic x axis.
func draw(rates []float64, roundTrip time.Duration, series map[string][2][]float64) string {
	var b strings.Builder
	const width, height, left, top = 300, 180, 50, 40
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" `+
		`font-family="sans-serif" font-size="11" fill="#777">`+"\n",
		2*(width+left)+20, height+top+60)
	colors := map[string]string{"Poisson": "#2a6fdb", "bursts of 20": "#d9822b"}
	for i, diagram := range []struct {
		title string
		most  float64
	}{{"mean wait, in round trips", 0.2}, {"commands per read", 1}} {
		x0, y0 := float64(left+i*(width+left)), float64(top)
		x := func(rate float64) float64 {
			return x0 + width*math.Log(rate/rates[0])/math.Log(rates[len(rates)-1]/rates[0])
		}
		y := func(v float64) float64 { return y0 + height*(1-v/diagram.most) }
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" font-weight="bold">%s</text>`+"\n", x0, y0-20, diagram.title)
		for tick := range 5 {
			v := diagram.most * float64(tick) / 4
			fmt.Fprintf(&b, `<path d="M%.0f %.1fh%d" stroke="#ccc"/><text x="%.0f" y="%.1f" text-anchor="end">%.2f</text>`+"\n",
				x0, y(v), width, x0-5, y(v)+4, v)
		}
		for _, rate := range rates {
			fmt.Fprintf(&b, `<text x="%.1f" y="%.0f" text-anchor="middle">%g</text>`+"\n",
				x(rate), y0+height+15, rate*roundTrip.Seconds())
		}
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f">reads that arrive during a round trip of %v</text>`+"\n",
			x0, y0+height+32, roundTrip)
		for n, name := range []string{"Poisson", "bursts of 20"} {
			path := "M"
			for k, v := range series[name][i] {
				path += fmt.Sprintf("%.1f %.1f ", x(rates[k]), y(min(v, diagram.most)))
			}
			fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n",
				strings.TrimSpace(path), colors[name])
			fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" fill="%s">%s</text>`+"\n",
				x0+width-80, y0-20+float64(12*n), colors[name], name)
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}
