//go:build cgo

// Libweft is the library that Envoy loads to run weft in its process (-buildmode=c-shared). It implements the hooks of
// Envoy's ABI for dynamic modules with the callbacks of package module.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/cgo"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"weft/enrich"
	"weft/envoy/module"
	"weft/internal/cli"
)

/*
#cgo LDFLAGS: -Wl,--unresolved-symbols=ignore-all
#include "hooks.h"

#cgo noescape weft_change_headers
#cgo nocallback weft_change_headers
#cgo noescape weft_replace_body
#cgo nocallback weft_replace_body
#cgo noescape weft_set_metadata
#cgo nocallback weft_set_metadata
#cgo noescape envoy_dynamic_module_callback_http_get_filter_state_bytes
#cgo nocallback envoy_dynamic_module_callback_http_get_filter_state_bytes
#cgo noescape weft_new_response
#cgo nocallback weft_new_response
#cgo noescape envoy_dynamic_module_callback_http_filter_scheduler_new
#cgo nocallback envoy_dynamic_module_callback_http_filter_scheduler_new
#cgo noescape envoy_dynamic_module_callback_http_filter_scheduler_commit
#cgo nocallback envoy_dynamic_module_callback_http_filter_scheduler_commit
#cgo noescape envoy_dynamic_module_callback_http_filter_scheduler_delete
#cgo nocallback envoy_dynamic_module_callback_http_filter_scheduler_delete
*/
import "C"

// version is set by the linker.
var version = "devel"

func main() {} // not called: Envoy loads a library

// modules are the running modules by their configuration. When a listener changes, Envoy creates the new filter before
// it destroys the old one: both use the same module.
var modules = struct { //nolint:gochecknoglobals // a library has no other place for state between calls
	sync.Mutex
	byConfig map[string]*running
	closing  sync.WaitGroup
}{byConfig: map[string]*running{}}

type running struct {
	*cli.Module
	key   string // in modules
	users int
}

// key returns the same text for equal configurations: the order in which Envoy prints the members of an object varies.
func key(config string) string {
	var members map[string]any
	if json.Unmarshal([]byte(config), &members) != nil {
		return config // StartModule returns the error
	}
	sorted, _ := json.Marshal(members)
	return string(sorted)
}

//export weftConfigNew
func weftConfigNew(config *C.char, length C.size_t, workers C.uint32_t, validates C.bool) (handle C.uintptr_t) {
	defer printPanic() // and return 0, which Envoy rejects
	// Envoy ignores SIGPIPE, and loading Go has changed that: a log line would end Envoy if nobody reads its stderr.
	signal.Ignore(syscall.SIGPIPE)
	text := C.GoStringN(config, C.int(length))
	if bool(validates) {
		if err := cli.CheckModule(text, version); err != nil {
			fmt.Fprintln(os.Stderr, "weft:", err)
			return 0
		}
		return C.uintptr_t(cgo.NewHandle(&running{}))
	}
	// Go code runs on the workers and in goroutines. If GOMAXPROCS were smaller than that, a goroutine that has read from
	// MongoDB would wait for an idle worker. The last is a spare: without it, Go's monitor thread would take processors
	// from the workers all the time.
	if n := int(workers) + 2; os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
	modules.Lock()
	defer modules.Unlock()
	key := key(text)
	r := modules.byConfig[key]
	if r == nil {
		m, err := cli.StartModule(text, version, os.Stderr)
		if err != nil {
			fmt.Fprintln(os.Stderr, "weft:", err)
			return 0
		}
		go checkEnvoy(m)
		r = &running{Module: m, key: key}
		modules.byConfig[key] = r
	}
	r.users++
	return C.uintptr_t(cgo.NewHandle(r))
}

// checkEnvoy checks the version of the Envoy that has loaded the library.
func checkEnvoy(m *cli.Module) {
	defer printPanic()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	printed, _ := exec.CommandContext(ctx, "/proc/self/exe", "--version").Output() // empty after an error
	m.CheckEnvoy(string(printed))
}

// printPanic recovers and prints a panic that would end Envoy. It must be deferred.
func printPanic() {
	if err := enrich.AsPanic(recover()); err != nil {
		fmt.Fprintf(os.Stderr, "weft: %v\n%s", err, err.Stack)
	}
}

//export weftConfigDestroy
func weftConfigDestroy(config C.uintptr_t) {
	defer printPanic()
	r := cgo.Handle(config).Value().(*running)
	cgo.Handle(config).Delete()
	modules.Lock()
	defer modules.Unlock()
	if r.users--; r.users == 0 { // a configuration that was only validated has -1
		delete(modules.byConfig, r.key)
		modules.closing.Go(func() { // it may wait for a collector of traces, and must not block Envoy
			defer printPanic()
			r.Close()
		})
		if len(modules.byConfig) == 0 { // Envoy ends
			modules.closing.Wait()
		}
	}
}

// filter is a stream of Envoy with its state.
type filter struct {
	*module.Filter
	envoy    unsafe.Pointer
	chunks   []C.envoy_dynamic_module_type_envoy_buffer // of the body, while OnBody runs
	received bool                                       // the last chunks are not in Envoy's buffer yet
	response *C.weft_response                           // of Respond

	mu        sync.Mutex
	scheduler unsafe.Pointer // nil before the first Wait, and after the stream was destroyed
	scheduled bool
}

//export weftRequest
func weftRequest(
	config C.uintptr_t, envoy unsafe.Pointer, headers *C.envoy_dynamic_module_type_envoy_http_header, count C.size_t,
	rule *C.char, ruleLength C.size_t, bodyless C.bool, next *C.int, response **C.weft_response,
) C.uintptr_t {
	r := cgo.Handle(config).Value().(*running)
	f := &filter{envoy: envoy}
	routed := ""
	if ruleLength > 0 {
		routed = C.GoStringN(rule, C.int(ruleLength))
	}
	f.Filter = r.OnRequest(f, each(headers, count), routed, bool(bodyless))
	*response = f.response
	if f.Filter == nil {
		return 0
	}
	if f.HoldsRequest() {
		*next = f.after(module.Wait)
	}
	return C.uintptr_t(cgo.NewHandle(f))
}

//export weftResponse
func weftResponse(
	handle C.uintptr_t, headers *C.envoy_dynamic_module_type_envoy_http_header, count C.size_t,
	details *C.char, detailsLength C.size_t, bodyless C.bool, limit *C.size_t,
) C.int {
	f := cgo.Handle(handle).Value().(*filter)
	next, most := f.OnResponse(each(headers, count), C.GoStringN(details, C.int(detailsLength)), bool(bodyless))
	*limit = C.size_t(most)
	return f.after(next)
}

//export weftBody
func weftBody(
	handle C.uintptr_t, chunks *C.envoy_dynamic_module_type_envoy_buffer, count C.size_t, isComplete, received C.bool,
	response **C.weft_response,
) C.int {
	f := cgo.Handle(handle).Value().(*filter)
	f.chunks, f.received = unsafe.Slice(chunks, count), bool(received)
	next := f.OnBody(bool(isComplete))
	f.chunks, f.received = nil, false
	*response = f.response
	return f.after(next)
}

//export weftScheduled
func weftScheduled(handle C.uintptr_t, response **C.weft_response) C.int {
	f := cgo.Handle(handle).Value().(*filter)
	next := f.OnScheduled()
	*response = f.response
	return f.after(next)
}

//export weftDestroy
func weftDestroy(handle C.uintptr_t) {
	f := cgo.Handle(handle).Value().(*filter)
	cgo.Handle(handle).Delete()
	f.mu.Lock()
	if f.scheduler != nil {
		C.envoy_dynamic_module_callback_http_filter_scheduler_delete(f.scheduler)
		f.scheduler = nil
	}
	f.mu.Unlock()
	f.OnDestroy()
}
