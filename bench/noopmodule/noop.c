// A dynamic module for Envoy that changes nothing. Like the no-op ext_proc of the benchmark, it holds the response until
// its body is complete. It measures the minimum cost of a module that replaces bodies.

#include "../../envoy/module/libweft/abi.h"

const char* envoy_dynamic_module_on_program_init(void) { return WEFT_ABI; }

// A configuration and a filter must not be null.
static int something;

const void* envoy_dynamic_module_on_http_filter_config_new(void* envoy, envoy_dynamic_module_type_envoy_buffer name,
                                                           envoy_dynamic_module_type_envoy_buffer config) {
  return &something;
}
const void* envoy_dynamic_module_on_http_filter_new(const void* config, void* envoy) { return &something; }

int envoy_dynamic_module_on_http_filter_response_headers(void* envoy, const void* filter, bool end) {
  return end ? weft_headers_Continue : weft_headers_StopIteration;
}
int envoy_dynamic_module_on_http_filter_response_body(void* envoy, const void* filter, bool end) {
  return end ? weft_body_Continue : weft_body_StopIterationAndBuffer;
}

// Envoy rejects a library without the following.
int envoy_dynamic_module_on_http_filter_request_headers(void* envoy, const void* filter, bool end) { return weft_headers_Continue; }
int envoy_dynamic_module_on_http_filter_request_body(void* envoy, const void* filter, bool end) { return weft_body_Continue; }
int envoy_dynamic_module_on_http_filter_request_trailers(void* envoy, const void* filter) { return weft_trailers_Continue; }
int envoy_dynamic_module_on_http_filter_response_trailers(void* envoy, const void* filter) { return weft_trailers_Continue; }
void envoy_dynamic_module_on_http_filter_config_destroy(const void* config) {}
void envoy_dynamic_module_on_http_filter_destroy(const void* filter) {}
void envoy_dynamic_module_on_http_filter_stream_complete(void* envoy, const void* filter) {}
void envoy_dynamic_module_on_http_filter_scheduled(void* envoy, const void* filter, uint64_t event) {}
void envoy_dynamic_module_on_http_filter_http_callout_done(void* envoy, const void* filter, uint64_t id, int result,
                                                           void* headers, size_t count, void* chunks, size_t n) {}
void envoy_dynamic_module_on_http_filter_http_stream_headers(void* envoy, const void* filter, uint64_t id, void* headers,
                                                             size_t count, bool end) {}
void envoy_dynamic_module_on_http_filter_http_stream_data(void* envoy, const void* filter, uint64_t id, const void* chunks,
                                                          size_t count, bool end) {}
void envoy_dynamic_module_on_http_filter_http_stream_trailers(void* envoy, const void* filter, uint64_t id, void* trailers,
                                                              size_t count) {}
void envoy_dynamic_module_on_http_filter_http_stream_complete(void* envoy, const void* filter, uint64_t id) {}
void envoy_dynamic_module_on_http_filter_http_stream_reset(void* envoy, const void* filter, uint64_t id, int reason) {}
void envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(void* envoy, const void* filter) {}
void envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(void* envoy, const void* filter) {}
