//go:build cgo

// The hooks that Envoy calls. They call Go only for decisions: not for a stream without a rule, nor for a part of a body.
// A hook runs on the worker of its stream. The last callback in a hook may destroy the stream: the hook must not access
// the stream after it.

#include <stdlib.h>
#include <string.h>

#include "hooks.h"
#include "unused.h"
#include "_cgo_export.h"

// stream is the state of a filter in C.
typedef struct {
  uintptr_t config;
  uintptr_t filter; // handle of Go's filter; 0 until the request has matched a rule
  bool responded;   // the headers of a response have arrived
  bool ended;       // the body of the response has arrived completely
  bool forwards;    // weft_forward: body calls Go for each part of the body
  int next;         // result of the last callback
  size_t limit;     // weft_collect: maximum size of the body
  weft_response* reply;  // the new response, until it is sent
} stream;

// Most messages have fewer headers and chunks than this.
enum { few = 64 };

static uint32_t number(const char** at) {
  uint32_t n;
  memcpy(&n, *at, sizeof n);
  *at += sizeof n;
  return n;
}

// 21 hooks, of which unused.h has those that do nothing, and two for the configuration of routes.

const char* envoy_dynamic_module_on_program_init(void) { return WEFT_ABI; }

const void* envoy_dynamic_module_on_http_filter_config_new(void* envoy, envoy_dynamic_module_type_envoy_buffer name,
                                                           envoy_dynamic_module_type_envoy_buffer config) {
  return (const void*)weftConfigNew((char*)config.ptr, config.length,
                                    envoy_dynamic_module_callback_get_concurrency(),
                                    envoy_dynamic_module_callback_is_validation_mode());
}

void envoy_dynamic_module_on_http_filter_config_destroy(const void* config) { weftConfigDestroy((uintptr_t)config); }

// The configuration of a route is the name of its rule.
const void* envoy_dynamic_module_on_http_filter_per_route_config_new(envoy_dynamic_module_type_envoy_buffer name,
                                                                     envoy_dynamic_module_type_envoy_buffer config) {
  char* rule = malloc(config.length + 1);
  if (rule == NULL) return NULL;
  if (config.length > 0) memcpy(rule, config.ptr, config.length);
  rule[config.length] = 0;
  return rule;
}

void envoy_dynamic_module_on_http_filter_per_route_config_destroy(const void* config) { free((void*)config); }

const void* envoy_dynamic_module_on_http_filter_new(const void* config, void* envoy) {
  stream* s = calloc(1, sizeof(stream));
  if (s != NULL) s->config = (uintptr_t)config;
  return s;
}

void envoy_dynamic_module_on_http_filter_destroy(const void* filter) {
  stream* s = (stream*)filter;
  if (s->filter != 0) weftDestroy(s->filter);
  free(s->reply);
  free(s);
}

// respond replaces the response, and may destroy the stream.
static void respond(stream* s, void* envoy) {
  weft_response* r = s->reply;
  s->reply = NULL;
  if (r == NULL) return;
  // A header takes at least 9 bytes of data.
  envoy_dynamic_module_type_module_http_header array[few], *headers = array;
  if (r->headers_length / 9 > few) headers = malloc(r->headers_length / 9 * sizeof *headers);
  if (headers == NULL) {
    free(r);
    return;
  }
  size_t count = 0;
  for (const char *at = r->data, *end = at + r->headers_length; at < end; count++) {
    at++; // all are set
    uint32_t key_length = number(&at), value_length = number(&at);
    headers[count] = (envoy_dynamic_module_type_module_http_header){at, key_length, at + key_length, value_length};
    at += key_length + value_length;
  }
  envoy_dynamic_module_callback_http_send_response(
      envoy, r->status, headers, count,
      (envoy_dynamic_module_type_module_buffer){r->data + r->headers_length, r->body_length},
      (envoy_dynamic_module_type_module_buffer){"weft", 4});
  if (headers != array) free(headers);
  free(r);
}

int envoy_dynamic_module_on_http_filter_request_headers(void* envoy, const void* filter, bool end) {
  stream* s = (stream*)filter;
  const envoy_dynamic_module_type_http_header_type type = envoy_dynamic_module_type_http_header_type_RequestHeader;
  size_t count = envoy_dynamic_module_callback_http_get_headers_size(envoy, type);
  envoy_dynamic_module_type_envoy_http_header array[few], *headers = array;
  if (count > few) headers = malloc(count * sizeof *headers);
  if (headers == NULL) return weft_headers_Continue;
  if (envoy_dynamic_module_callback_http_get_headers(envoy, type, headers)) {
    const char* rule = envoy_dynamic_module_callback_get_most_specific_route_config(envoy);
    s->filter = weftRequest(s->config, envoy, headers, count, (char*)rule, rule == NULL ? 0 : strlen(rule), end, &s->next,
                            &s->reply);
  }
  if (headers != array) free(headers);
  if (s->next == weft_wait) return weft_headers_StopAllIterationAndWatermark;
  if (s->reply == NULL) return weft_headers_Continue;
  respond(s, envoy);
  return weft_headers_StopIteration;
}

// make_room raises the limit of Envoy's buffer above size. A held body beyond the limit would result in a 500, even if it
// is held only until the headers have continued.
static void make_room(void* envoy, size_t size) {
  if (envoy_dynamic_module_callback_http_get_buffer_limit(envoy) <= size) {
    envoy_dynamic_module_callback_http_set_buffer_limit(envoy, size + 1);
  }
}

int envoy_dynamic_module_on_http_filter_response_headers(void* envoy, const void* filter, bool end) {
  stream* s = (stream*)filter;
  if (s->responded) s->next = weft_continue; // a local reply of Envoy replaces the held response
  if (s->filter == 0 || s->responded) return weft_headers_Continue;
  s->responded = true;
  const envoy_dynamic_module_type_http_header_type type = envoy_dynamic_module_type_http_header_type_ResponseHeader;
  size_t count = envoy_dynamic_module_callback_http_get_headers_size(envoy, type);
  envoy_dynamic_module_type_envoy_http_header array[few], *headers = array;
  if (count > few) headers = malloc(count * sizeof *headers);
  if (headers == NULL) return weft_headers_Continue;
  envoy_dynamic_module_type_envoy_buffer details = {NULL, 0};
  envoy_dynamic_module_callback_http_filter_get_attribute_string(
      envoy, envoy_dynamic_module_type_attribute_id_ResponseCodeDetails, &details);
  s->next = weft_continue;
  if (envoy_dynamic_module_callback_http_get_headers(envoy, type, headers)) {
    s->next = weftResponse(s->filter, headers, count, (char*)details.ptr, details.length, end, &s->limit);
  }
  if (headers != array) free(headers);
  if (s->next == weft_collect) make_room(envoy, s->limit);
  s->forwards = s->next == weft_forward;
  return s->next == weft_continue || s->forwards ? weft_headers_Continue : weft_headers_StopIteration;
}

// body calls Go with the body of the response: the buffered part and, during on_..._response_body, the received part.
static void body(stream* s, void* envoy, bool complete, bool received) {
  const envoy_dynamic_module_type_http_body_type types[] = {
      envoy_dynamic_module_type_http_body_type_BufferedResponseBody, envoy_dynamic_module_type_http_body_type_ReceivedResponseBody};
  bool same = received && envoy_dynamic_module_callback_http_received_buffered_response_body(envoy);
  size_t counts[2] = {same ? 0 : envoy_dynamic_module_callback_http_get_body_chunks_size(envoy, types[0]),
                      received ? envoy_dynamic_module_callback_http_get_body_chunks_size(envoy, types[1]) : 0};
  size_t count = counts[0] + counts[1];
  envoy_dynamic_module_type_envoy_buffer array[few], *chunks = array;
  if (count > few) chunks = malloc(count * sizeof *chunks);
  if (chunks == NULL) {
    s->next = weft_continue;
    return;
  }
  if (counts[0] > 0) envoy_dynamic_module_callback_http_get_body_chunks(envoy, types[0], chunks);
  if (counts[1] > 0) envoy_dynamic_module_callback_http_get_body_chunks(envoy, types[1], chunks + counts[0]);
  s->next = weftBody(s->filter, chunks, count, complete, received, &s->reply);
  if (chunks != array) free(chunks);
}

static size_t buffered_size(void* envoy) {
  return envoy_dynamic_module_callback_http_get_body_size(envoy, envoy_dynamic_module_type_http_body_type_BufferedResponseBody);
}

int envoy_dynamic_module_on_http_filter_response_body(void* envoy, const void* filter, bool end) {
  stream* s = (stream*)filter;
  s->ended = end;
  switch (s->next) {
  case weft_continue:
    return weft_body_Continue;
  case weft_wait: // a body that is too large is replaced or streamed
    return weft_body_StopIterationAndWatermark;
  case weft_replaced:
    return weft_body_StopIterationNoBuffer;
  case weft_forward:
    body(s, envoy, end, true);
    return s->next == weft_wait ? weft_body_StopIterationAndWatermark : weft_body_Continue;
  }
  size_t size = envoy_dynamic_module_callback_http_get_body_size(envoy, envoy_dynamic_module_type_http_body_type_ReceivedResponseBody);
  if (!envoy_dynamic_module_callback_http_received_buffered_response_body(envoy)) size += buffered_size(envoy);
  if (size > s->limit) {
    body(s, envoy, false, true);
  } else if (end) {
    body(s, envoy, true, true);
  } else {
    return weft_body_StopIterationAndBuffer;
  }
  switch (s->next) {
  case weft_continue:
    if (size > s->limit) make_room(envoy, size);
    return weft_body_Continue;
  case weft_replaced:
    respond(s, envoy);
    return weft_body_StopIterationNoBuffer;
  }
  return end ? weft_body_StopIterationAndBuffer : weft_body_StopIterationAndWatermark;
}

int envoy_dynamic_module_on_http_filter_response_trailers(void* envoy, const void* filter) {
  stream* s = (stream*)filter;
  s->ended = true;
  if (s->next == weft_collect || s->next == weft_forward) body(s, envoy, true, false);
  return s->next == weft_continue ? weft_trailers_Continue : weft_trailers_StopIteration;
}

void envoy_dynamic_module_on_http_filter_scheduled(void* envoy, const void* filter, uint64_t event) {
  stream* s = (stream*)filter;
  if (s->next != weft_wait) return; // a local reply of Envoy has replaced the response
  s->next = s->forwards ? weft_forward : weftScheduled(s->filter, &s->reply);
  s->forwards = s->next == weft_forward;
  if (s->forwards && (s->ended || buffered_size(envoy) > 0)) body(s, envoy, s->ended, false);
  if (s->next == weft_replaced) {
    s->responded = true;
    respond(s, envoy);
  } else if (s->next == weft_continue && !s->responded) {
    envoy_dynamic_module_callback_http_filter_continue_decoding(envoy);
  } else if (s->next == weft_continue || s->next == weft_forward) {
    envoy_dynamic_module_callback_http_filter_continue_encoding(envoy);
  }
}

// Functions that Go calls. Each calls several callbacks of Envoy: a call from Go to C costs more than a callback.

void weft_change_headers(void* envoy, int type, const char* changes, size_t length) {
  for (const char* end = changes + length; changes < end;) {
    char operation = *changes++;
    uint32_t key_length = number(&changes), value_length = number(&changes);
    envoy_dynamic_module_type_module_buffer key = {changes, key_length}, value = {changes + key_length, value_length};
    changes += key_length + value_length;
    switch (operation) {
    case weft_header_remove:
      value.ptr = NULL;
      // fall through
    case weft_header_set:
      envoy_dynamic_module_callback_http_set_header(envoy, type, key, value);
      break;
    case weft_header_add:
      envoy_dynamic_module_callback_http_add_header(envoy, type, key, value);
    }
  }
}

void weft_replace_body(void* envoy, bool received, const char* data, size_t length) {
  make_room(envoy, length);
  envoy_dynamic_module_type_http_body_type type = envoy_dynamic_module_type_http_body_type_BufferedResponseBody;
  envoy_dynamic_module_callback_http_drain_body(envoy, type, SIZE_MAX);
  if (received) {
    type = envoy_dynamic_module_type_http_body_type_ReceivedResponseBody;
    envoy_dynamic_module_callback_http_drain_body(envoy, type, SIZE_MAX);
  }
  envoy_dynamic_module_type_module_buffer body = {data, length};
  if (length > 0) envoy_dynamic_module_callback_http_append_body(envoy, type, body);
}

void weft_set_metadata(void* envoy, const char* rule, size_t rule_length, const char* verdict, size_t verdict_length,
                       const char* reason, size_t reason_length, const char* cache, size_t cache_length, const char* core,
                       size_t core_length, double legacy, double added, double mongodb) {
#define TEXT(text) (envoy_dynamic_module_type_module_buffer){text, sizeof text - 1}
  envoy_dynamic_module_type_module_buffer ns = TEXT("weft");
  envoy_dynamic_module_callback_http_set_dynamic_metadata_string(
      envoy, ns, TEXT("rule"), (envoy_dynamic_module_type_module_buffer){rule, rule_length});
  envoy_dynamic_module_callback_http_set_dynamic_metadata_string(
      envoy, ns, TEXT("verdict"), (envoy_dynamic_module_type_module_buffer){verdict, verdict_length});
  if (reason_length > 0)
    envoy_dynamic_module_callback_http_set_dynamic_metadata_string(
        envoy, ns, TEXT("reason"), (envoy_dynamic_module_type_module_buffer){reason, reason_length});
  if (cache_length > 0)
    envoy_dynamic_module_callback_http_set_dynamic_metadata_string(
        envoy, ns, TEXT("cache"), (envoy_dynamic_module_type_module_buffer){cache, cache_length});
  if (core_length > 0)
    envoy_dynamic_module_callback_http_set_dynamic_metadata_string(
        envoy, ns, TEXT("core"), (envoy_dynamic_module_type_module_buffer){core, core_length});
  envoy_dynamic_module_callback_http_set_dynamic_metadata_number(envoy, ns, TEXT("legacy_ms"), legacy);
  envoy_dynamic_module_callback_http_set_dynamic_metadata_number(envoy, ns, TEXT("added_ms"), added);
  if (mongodb != 0) envoy_dynamic_module_callback_http_set_dynamic_metadata_number(envoy, ns, TEXT("mongodb_ms"), mongodb);
}

weft_response* weft_new_response(uint32_t status, const char* headers, size_t headers_length, const char* body, size_t body_length) {
  weft_response* r = malloc(sizeof *r + headers_length + body_length);
  if (r == NULL) return NULL;
  *r = (weft_response){status, headers_length, body_length};
  if (headers_length > 0) memcpy(r->data, headers, headers_length);
  if (body_length > 0) memcpy(r->data + headers_length, body, body_length);
  return r;
}
