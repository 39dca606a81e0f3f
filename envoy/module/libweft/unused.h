// The hooks of an HTTP filter that do nothing. Envoy rejects a library without them.
#pragma once

#include "abi.h"

int envoy_dynamic_module_on_http_filter_request_body(void* envoy, const void* filter, bool end) { return weft_body_Continue; }
int envoy_dynamic_module_on_http_filter_request_trailers(void* envoy, const void* filter) { return weft_trailers_Continue; }
void envoy_dynamic_module_on_http_filter_stream_complete(void* envoy, const void* filter) {}

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
