// A dynamic module for Envoy that changes nothing. Like the no-op ext_proc of the benchmark, it holds the response until
// its body is complete. It measures the minimum cost of a module that replaces bodies.

#include "../../envoy/module/libweft/unused.h"

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

// The following hooks do nothing, like those of unused.h.
int envoy_dynamic_module_on_http_filter_request_headers(void* envoy, const void* filter, bool end) { return weft_headers_Continue; }
int envoy_dynamic_module_on_http_filter_response_trailers(void* envoy, const void* filter) { return weft_trailers_Continue; }
void envoy_dynamic_module_on_http_filter_config_destroy(const void* config) {}
void envoy_dynamic_module_on_http_filter_destroy(const void* filter) {}
void envoy_dynamic_module_on_http_filter_scheduled(void* envoy, const void* filter, uint64_t event) {}
