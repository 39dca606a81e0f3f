//go:build cgo

package main

import (
	"encoding/binary"
	"iter"
	"slices"
	"unsafe"

	"weft/enrich"
	"weft/envoy/module"
	"weft/internal/envoyhttp"
)

// #include "hooks.h"
import "C"

// each iterates over headers in Envoy's memory.
func each(headers *C.envoy_dynamic_module_type_envoy_http_header, count C.size_t) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, h := range unsafe.Slice(headers, count) {
			name := unsafe.String((*byte)(unsafe.Pointer(h.key_ptr)), int(h.key_length))
			value := unsafe.Slice((*byte)(unsafe.Pointer(h.value_ptr)), int(h.value_length))
			if !yield(name, value) {
				return
			}
		}
	}
}

// appendChange appends a change of a header in the format of hooks.h.
func appendChange(b []byte, operation byte, name, value string) []byte {
	b = binary.NativeEndian.AppendUint32(append(b, operation), uint32(len(name)))
	b = binary.NativeEndian.AppendUint32(b, uint32(len(value)))
	return append(append(b, name...), value...)
}

func appendChanges(b []byte, change enrich.Headers) []byte {
	for _, name := range change.Remove {
		b = appendChange(b, C.weft_header_remove, name, "")
	}
	for _, h := range change.Set {
		b = appendChange(b, C.weft_header_set, h.Name, h.Value)
	}
	return b
}

func (f *filter) change(of C.int, changes []byte) {
	if len(changes) > 0 {
		C.weft_change_headers(f.envoy, of, pointer(changes), C.size_t(len(changes)))
	}
}

func pointer(b []byte) *C.char { return (*C.char)(unsafe.Pointer(unsafe.SliceData(b))) }

func stringPointer(s string) *C.char { return (*C.char)(unsafe.Pointer(unsafe.StringData(s))) }

// ChangeRequest implements [module.Stream].
func (f *filter) ChangeRequest(change enrich.Headers) {
	f.change(C.envoy_dynamic_module_type_http_header_type_RequestHeader, appendChanges(make([]byte, 0, 512), change))
}

// ChangeResponse implements [module.Stream].
func (f *filter) ChangeResponse(change enrich.Headers) {
	f.change(C.envoy_dynamic_module_type_http_header_type_ResponseHeader, appendChanges(make([]byte, 0, 512), change))
}

// AddResponseHeader implements [module.Stream].
func (f *filter) AddResponseHeader(h enrich.Header) {
	f.change(C.envoy_dynamic_module_type_http_header_type_ResponseHeader,
		appendChange(make([]byte, 0, 128), C.weft_header_add, h.Name, h.Value))
}

// AppendBody implements [module.Stream].
func (f *filter) AppendBody(b []byte) []byte {
	size := 0
	for _, chunk := range f.chunks {
		size += int(chunk.length)
	}
	b = slices.Grow(b, size)
	for _, chunk := range f.chunks {
		b = append(b, unsafe.Slice((*byte)(unsafe.Pointer(chunk.ptr)), int(chunk.length))...)
	}
	return b
}

// ReplaceBody implements [module.Stream].
func (f *filter) ReplaceBody(body []byte) {
	C.weft_replace_body(f.envoy, C.bool(f.received), pointer(body), C.size_t(len(body)))
}

// Respond implements [module.Stream]. C sends the response after the callback, because that may destroy the stream.
func (f *filter) Respond(status int, headers []enrich.Header, body []byte) {
	changes := appendChanges(nil, enrich.Headers{Set: headers})
	f.response = C.weft_new_response(C.uint32_t(status), pointer(changes), C.size_t(len(changes)),
		pointer(body), C.size_t(len(body)))
}

// Claims implements [module.Stream].
func (f *filter) Claims() []byte {
	const key = envoyhttp.ClaimsState
	var value C.envoy_dynamic_module_type_envoy_buffer
	name := C.envoy_dynamic_module_type_module_buffer{ptr: stringPointer(key), length: C.size_t(len(key))}
	if !bool(C.envoy_dynamic_module_callback_http_get_filter_state_bytes(f.envoy, name, &value)) {
		return nil
	}
	return C.GoBytes(unsafe.Pointer(value.ptr), C.int(value.length))
}

// SetMetadata implements [module.Stream].
func (f *filter) SetMetadata(r *enrich.Report) {
	verdict, reason := string(r.Outcome.Disposition), r.Outcome.Reasons()
	cache, core := string(r.Cache()), string(r.Core)
	C.weft_set_metadata(f.envoy, stringPointer(r.Rule), C.size_t(len(r.Rule)),
		stringPointer(verdict), C.size_t(len(verdict)), stringPointer(reason), C.size_t(len(reason)),
		stringPointer(cache), C.size_t(len(cache)), stringPointer(core), C.size_t(len(core)),
		C.double(envoyhttp.Milliseconds(r.Times.Legacy)), C.double(envoyhttp.Milliseconds(r.Times.Added)),
		C.double(envoyhttp.Milliseconds(r.Times.Read)))
}

// after returns the value of next for C. It must run on the worker, which must create the scheduler.
func (f *filter) after(next module.Next) C.int {
	if next == module.Wait {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.scheduler == nil {
			f.scheduler = C.envoy_dynamic_module_callback_http_filter_scheduler_new(f.envoy)
			if f.scheduled {
				C.envoy_dynamic_module_callback_http_filter_scheduler_commit(f.scheduler, 0)
			}
		}
	}
	return C.int(next)
}

// Schedule implements [module.Stream]. With the lock, it never uses the scheduler of a destroyed stream.
func (f *filter) Schedule() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scheduled = true
	if f.scheduler != nil {
		C.envoy_dynamic_module_callback_http_filter_scheduler_commit(f.scheduler, 0)
	}
}
