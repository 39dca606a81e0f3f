// The part of the ABI of Envoy's dynamic modules, v0.2.0, that weft uses, with the names that Envoy documents: of about
// 780 functions, those for an HTTP filter that reads and changes headers and bodies. Pointers are opaque here.
//
// Envoy calls the on_ functions; it rejects a library without one of them. The callback_ functions are Envoy's.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEFT_ABI "v0.2.0"

typedef struct {
  const char* ptr;
  size_t length;
} envoy_dynamic_module_type_envoy_buffer; // Envoy's memory, valid until the hook returns or Envoy's object changes

typedef struct {
  const char* ptr;
  size_t length;
} envoy_dynamic_module_type_module_buffer; // the module's memory, which Envoy copies

typedef struct {
  const char* key_ptr;
  size_t key_length;
  const char* value_ptr;
  size_t value_length;
} envoy_dynamic_module_type_envoy_http_header;

typedef struct {
  const char* key_ptr;
  size_t key_length;
  const char* value_ptr;
  size_t value_length;
} envoy_dynamic_module_type_module_http_header;

typedef enum {
  envoy_dynamic_module_type_http_header_type_RequestHeader = 0,
  envoy_dynamic_module_type_http_header_type_ResponseHeader = 2,
} envoy_dynamic_module_type_http_header_type;

typedef enum {
  envoy_dynamic_module_type_http_body_type_ReceivedResponseBody = 2, // the chunks of this call of on_..._response_body
  envoy_dynamic_module_type_http_body_type_BufferedResponseBody = 3, // the chunks of earlier calls with StopIterationAndBuffer
} envoy_dynamic_module_type_http_body_type;

typedef enum {
  envoy_dynamic_module_type_attribute_id_ResponseCodeDetails = 16,
} envoy_dynamic_module_type_attribute_id;

// Of on_..._request_headers and on_..._response_headers.
enum { weft_headers_Continue = 0, weft_headers_StopIteration = 1, weft_headers_StopAllIterationAndWatermark = 4 };
// Of on_..._request_body and on_..._response_body.
enum { weft_body_Continue = 0, weft_body_StopIterationAndBuffer = 1, weft_body_StopIterationAndWatermark = 2, weft_body_StopIterationNoBuffer = 3 };
// Of on_..._request_trailers and on_..._response_trailers.
enum { weft_trailers_Continue = 0, weft_trailers_StopIteration = 1 };

uint32_t envoy_dynamic_module_callback_get_concurrency(void);
bool envoy_dynamic_module_callback_is_validation_mode(void);

size_t envoy_dynamic_module_callback_http_get_headers_size(void* filter, envoy_dynamic_module_type_http_header_type type);
bool envoy_dynamic_module_callback_http_get_headers(void* filter, envoy_dynamic_module_type_http_header_type type,
                                                    envoy_dynamic_module_type_envoy_http_header* headers);
// A value whose pointer is null removes the header.
bool envoy_dynamic_module_callback_http_set_header(void* filter, envoy_dynamic_module_type_http_header_type type,
                                                   envoy_dynamic_module_type_module_buffer key,
                                                   envoy_dynamic_module_type_module_buffer value);
bool envoy_dynamic_module_callback_http_add_header(void* filter, envoy_dynamic_module_type_http_header_type type,
                                                   envoy_dynamic_module_type_module_buffer key,
                                                   envoy_dynamic_module_type_module_buffer value);
bool envoy_dynamic_module_callback_http_filter_get_attribute_string(void* filter, envoy_dynamic_module_type_attribute_id id,
                                                                    envoy_dynamic_module_type_envoy_buffer* result);

size_t envoy_dynamic_module_callback_http_get_body_size(void* filter, envoy_dynamic_module_type_http_body_type type);
size_t envoy_dynamic_module_callback_http_get_body_chunks_size(void* filter, envoy_dynamic_module_type_http_body_type type);
bool envoy_dynamic_module_callback_http_get_body_chunks(void* filter, envoy_dynamic_module_type_http_body_type type,
                                                        envoy_dynamic_module_type_envoy_buffer* chunks);
bool envoy_dynamic_module_callback_http_append_body(void* filter, envoy_dynamic_module_type_http_body_type type,
                                                    envoy_dynamic_module_type_module_buffer data);
bool envoy_dynamic_module_callback_http_drain_body(void* filter, envoy_dynamic_module_type_http_body_type type, size_t bytes);
// Whether a preceding filter has buffered the received body, so that both types are the same body.
bool envoy_dynamic_module_callback_http_received_buffered_response_body(void* filter);
uint64_t envoy_dynamic_module_callback_http_get_buffer_limit(void* filter);
void envoy_dynamic_module_callback_http_set_buffer_limit(void* filter, uint64_t limit);

void envoy_dynamic_module_callback_http_send_response(void* filter, uint32_t status,
                                                      envoy_dynamic_module_type_module_http_header* headers, size_t count,
                                                      envoy_dynamic_module_type_module_buffer body,
                                                      envoy_dynamic_module_type_module_buffer details);

// The value of an "envoy.string".
bool envoy_dynamic_module_callback_http_get_filter_state_bytes(void* filter, envoy_dynamic_module_type_module_buffer key,
                                                               envoy_dynamic_module_type_envoy_buffer* value);

void envoy_dynamic_module_callback_http_set_dynamic_metadata_string(void* filter, envoy_dynamic_module_type_module_buffer ns,
                                                                    envoy_dynamic_module_type_module_buffer key,
                                                                    envoy_dynamic_module_type_module_buffer value);
void envoy_dynamic_module_callback_http_set_dynamic_metadata_number(void* filter, envoy_dynamic_module_type_module_buffer ns,
                                                                    envoy_dynamic_module_type_module_buffer key, double value);

// The configuration of the route for the filter, as on_..._per_route_config_new returned it; null if there is none.
const void* envoy_dynamic_module_callback_get_most_specific_route_config(void* filter);

// A scheduler calls on_..._scheduled on the worker of the filter, unless the filter has been destroyed. The module owns
// the scheduler. Any thread may call commit while the worker runs.
void* envoy_dynamic_module_callback_http_filter_scheduler_new(void* filter);
void envoy_dynamic_module_callback_http_filter_scheduler_commit(void* scheduler, uint64_t event);
void envoy_dynamic_module_callback_http_filter_scheduler_delete(void* scheduler);
void envoy_dynamic_module_callback_http_filter_continue_decoding(void* filter);
void envoy_dynamic_module_callback_http_filter_continue_encoding(void* filter);
