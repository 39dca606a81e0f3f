// An Envoy with one worker that plays exchanges with libweft.so, for AddressSanitizer:
//
//	envoy LIBRARY CONFIG <EXCHANGES
//
// Each exchange is played with its body whole, in parts and with trailers, and its stream is destroyed after each hook.
// What a hook may use only until it returns is freed then. An exchange is a line with the number of response headers
// and the length of the body, a line for each name and value, and the body.

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../abi.h"

typedef struct {
  char* data;
  size_t length;
} text;

static text copy(const char* data, size_t length) {
  text t = {malloc(length), length};
  memcpy(t.data, data, length);
  return t;
}

enum { most = 40 };

typedef struct {
  size_t count;
  text keys[most], values[most];
} headers;

typedef struct {
  headers headers[4]; // by envoy_dynamic_module_type_http_header_type
  text bodies[4];     // by envoy_dynamic_module_type_http_body_type
  uint64_t limit;
  text details;
  const void* filter;
  bool continued, replaced;
} stream;

static void set(headers* h, text key, text value) { // takes the memory of both
  for (size_t i = 0; i < h->count; i++) {
    if (h->keys[i].length != key.length || memcmp(h->keys[i].data, key.data, key.length) != 0) continue;
    free(h->keys[i].data), free(h->values[i].data);
    h->count--;
    h->keys[i] = h->keys[h->count], h->values[i] = h->values[h->count];
    i--;
  }
  if (value.data == NULL) {
    free(key.data);
    return;
  }
  h->keys[h->count] = key, h->values[h->count++] = value;
}

static void renew(text* t) {
  if (t->data == NULL) return;
  text old = *t;
  *t = copy(old.data, old.length);
  free(old.data);
}

// expire moves everything that a hook could have kept a pointer to.
static void expire(stream* s) {
  for (int type = 0; type < 4; type++) {
    for (size_t i = 0; i < s->headers[type].count; i++) {
      renew(&s->headers[type].keys[i]), renew(&s->headers[type].values[i]);
    }
    renew(&s->bodies[type]);
  }
  renew(&s->details);
}

// The callbacks.

uint32_t envoy_dynamic_module_callback_get_concurrency(void) { return 1; }
bool envoy_dynamic_module_callback_is_validation_mode(void) { return false; }

size_t envoy_dynamic_module_callback_http_get_headers_size(void* f, envoy_dynamic_module_type_http_header_type type) {
  return ((stream*)f)->headers[type].count;
}
bool envoy_dynamic_module_callback_http_get_headers(void* f, envoy_dynamic_module_type_http_header_type type,
                                                    envoy_dynamic_module_type_envoy_http_header* out) {
  headers* h = &((stream*)f)->headers[type];
  for (size_t i = 0; i < h->count; i++) {
    out[i] = (envoy_dynamic_module_type_envoy_http_header){h->keys[i].data, h->keys[i].length, h->values[i].data, h->values[i].length};
  }
  return true;
}
bool envoy_dynamic_module_callback_http_set_header(void* f, envoy_dynamic_module_type_http_header_type type,
                                                   envoy_dynamic_module_type_module_buffer key,
                                                   envoy_dynamic_module_type_module_buffer value) {
  set(&((stream*)f)->headers[type], copy(key.ptr, key.length), value.ptr == NULL ? (text){0} : copy(value.ptr, value.length));
  return true;
}
bool envoy_dynamic_module_callback_http_add_header(void* f, envoy_dynamic_module_type_http_header_type type,
                                                   envoy_dynamic_module_type_module_buffer key,
                                                   envoy_dynamic_module_type_module_buffer value) {
  headers* h = &((stream*)f)->headers[type];
  h->keys[h->count] = copy(key.ptr, key.length), h->values[h->count++] = copy(value.ptr, value.length);
  return true;
}
bool envoy_dynamic_module_callback_http_filter_get_attribute_string(void* f, envoy_dynamic_module_type_attribute_id id,
                                                                    envoy_dynamic_module_type_envoy_buffer* result) {
  *result = (envoy_dynamic_module_type_envoy_buffer){((stream*)f)->details.data, ((stream*)f)->details.length};
  return true;
}
size_t envoy_dynamic_module_callback_http_get_body_size(void* f, envoy_dynamic_module_type_http_body_type type) {
  return ((stream*)f)->bodies[type].length;
}
// A body has two chunks, if it is long enough.
size_t envoy_dynamic_module_callback_http_get_body_chunks_size(void* f, envoy_dynamic_module_type_http_body_type type) {
  size_t length = ((stream*)f)->bodies[type].length;
  return length > 1 ? 2 : length;
}
bool envoy_dynamic_module_callback_http_get_body_chunks(void* f, envoy_dynamic_module_type_http_body_type type,
                                                        envoy_dynamic_module_type_envoy_buffer* chunks) {
  text b = ((stream*)f)->bodies[type];
  size_t first = b.length > 1 ? b.length / 2 : b.length;
  if (b.length > 0) chunks[0] = (envoy_dynamic_module_type_envoy_buffer){b.data, first};
  if (b.length > 1) chunks[1] = (envoy_dynamic_module_type_envoy_buffer){b.data + first, b.length - first};
  return true;
}
static void append(text* t, const char* data, size_t length) {
  t->data = realloc(t->data, t->length + length == 0 ? 1 : t->length + length);
  memcpy(t->data + t->length, data, length);
  t->length += length;
}
bool envoy_dynamic_module_callback_http_append_body(void* f, envoy_dynamic_module_type_http_body_type type,
                                                    envoy_dynamic_module_type_module_buffer data) {
  append(&((stream*)f)->bodies[type], data.ptr, data.length);
  return true;
}
bool envoy_dynamic_module_callback_http_drain_body(void* f, envoy_dynamic_module_type_http_body_type type, size_t bytes) {
  free(((stream*)f)->bodies[type].data);
  ((stream*)f)->bodies[type] = (text){0};
  return true;
}
bool envoy_dynamic_module_callback_http_received_buffered_response_body(void* f) { return false; }
uint64_t envoy_dynamic_module_callback_http_get_buffer_limit(void* f) { return ((stream*)f)->limit; }
void envoy_dynamic_module_callback_http_set_buffer_limit(void* f, uint64_t limit) { ((stream*)f)->limit = limit; }
bool envoy_dynamic_module_callback_http_get_filter_state_bytes(void* f, envoy_dynamic_module_type_module_buffer key,
                                                               envoy_dynamic_module_type_envoy_buffer* value) {
  return false;
}
static volatile char sink;
static void use(envoy_dynamic_module_type_module_buffer b) {
  for (size_t i = 0; i < b.length; i++) sink ^= b.ptr[i];
}
void envoy_dynamic_module_callback_http_set_dynamic_metadata_string(void* f, envoy_dynamic_module_type_module_buffer ns,
                                                                    envoy_dynamic_module_type_module_buffer key,
                                                                    envoy_dynamic_module_type_module_buffer value) {
  use(ns), use(key), use(value);
}
void envoy_dynamic_module_callback_http_set_dynamic_metadata_number(void* f, envoy_dynamic_module_type_module_buffer ns,
                                                                    envoy_dynamic_module_type_module_buffer key, double value) {
  use(ns), use(key);
}
const void* envoy_dynamic_module_callback_get_most_specific_route_config(void* f) { return NULL; }
void envoy_dynamic_module_callback_http_send_response(void* f, uint32_t status,
                                                      envoy_dynamic_module_type_module_http_header* h, size_t count,
                                                      envoy_dynamic_module_type_module_buffer body,
                                                      envoy_dynamic_module_type_module_buffer details) {
  for (size_t i = 0; i < count; i++) {
    use((envoy_dynamic_module_type_module_buffer){h[i].key_ptr, h[i].key_length});
    use((envoy_dynamic_module_type_module_buffer){h[i].value_ptr, h[i].value_length});
  }
  use(body), use(details);
  ((stream*)f)->replaced = true;
}
void envoy_dynamic_module_callback_http_filter_continue_decoding(void* f) { ((stream*)f)->continued = true; }
void envoy_dynamic_module_callback_http_filter_continue_encoding(void* f) { ((stream*)f)->continued = true; }

// Events, of one stream at a time. Events of destroyed streams are dropped.
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int events;

void* envoy_dynamic_module_callback_http_filter_scheduler_new(void* f) { return malloc(1); }
void envoy_dynamic_module_callback_http_filter_scheduler_commit(void* scheduler, uint64_t event) {
  sink ^= *(volatile char*)scheduler; // must not be deleted
  pthread_mutex_lock(&mutex);
  events++;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&mutex);
}
void envoy_dynamic_module_callback_http_filter_scheduler_delete(void* scheduler) { free(scheduler); }

static void await(void) {
  pthread_mutex_lock(&mutex);
  while (events == 0) pthread_cond_wait(&changed, &mutex);
  events--;
  pthread_mutex_unlock(&mutex);
}

// The hooks.
#define HOOK(result, name, ...) static result (*name)(__VA_ARGS__)
HOOK(const char*, on_program_init, void);
HOOK(const void*, on_http_filter_config_new, void*, envoy_dynamic_module_type_envoy_buffer, envoy_dynamic_module_type_envoy_buffer);
HOOK(void, on_http_filter_config_destroy, const void*);
HOOK(const void*, on_http_filter_new, const void*, void*);
HOOK(void, on_http_filter_destroy, const void*);
HOOK(int, on_http_filter_request_headers, void*, const void*, bool);
HOOK(int, on_http_filter_response_headers, void*, const void*, bool);
HOOK(int, on_http_filter_response_body, void*, const void*, bool);
HOOK(int, on_http_filter_response_trailers, void*, const void*);
HOOK(void, on_http_filter_scheduled, void*, const void*, uint64_t);

static void* find(void* library, const char* name) {
  char full[100];
  snprintf(full, sizeof full, "envoy_dynamic_module_%s", name);
  void* hook = dlsym(library, full);
  if (hook == NULL) fprintf(stderr, "%s\n", dlerror()), exit(2);
  return hook;
}

static int composed, played, passed;

// play plays an exchange. It returns false if the stream was destroyed before its end.
static bool play(const void* config, const headers* response, text body, int parts, bool trailers, int hooks) {
  stream* s = calloc(1, sizeof *s);
  s->limit = 1 << 20;
  s->details = copy("via_upstream", 12);
  const char* request[] = {":method", "GET", ":path", "/api/v1/users/7", ":authority", "localhost", "x-weft-forged", "1"};
  for (int i = 0; i < 8; i += 2) set(&s->headers[0], copy(request[i], strlen(request[i])), copy(request[i + 1], strlen(request[i + 1])));
  events = 0;
  s->filter = on_http_filter_new(config, s);
  bool complete = false;
#define HOOKED expire(s); if (hooks-- == 0) goto destroy
  on_http_filter_request_headers(s, s->filter, true);
  HOOKED;
  headers* h = &s->headers[envoy_dynamic_module_type_http_header_type_ResponseHeader];
  for (size_t i = 0; i < response->count; i++) {
    h->keys[i] = copy(response->keys[i].data, response->keys[i].length);
    h->values[i] = copy(response->values[i].data, response->values[i].length);
    h->count++;
  }
  bool held = on_http_filter_response_headers(s, s->filter, body.length == 0) != weft_headers_Continue, waits = false;
  HOOKED;
  text *buffered = &s->bodies[envoy_dynamic_module_type_http_body_type_BufferedResponseBody];
  text *received = &s->bodies[envoy_dynamic_module_type_http_body_type_ReceivedResponseBody];
  size_t sent = 0;
  for (int i = 1; i <= parts && body.length > 0 && !s->replaced; i++) {
    size_t until = body.length * i / parts;
    append(received, body.data + sent, until - sent);
    sent = until;
    waits = on_http_filter_response_body(s, s->filter, i == parts && !trailers) != weft_body_Continue;
    append(buffered, received->data == NULL ? "" : received->data, received->length);
    free(received->data);
    *received = (text){0};
    if (!waits) held = false;
    HOOKED;
  }
  if (trailers && body.length > 0 && !s->replaced) {
    waits = on_http_filter_response_trailers(s, s->filter) != weft_trailers_Continue;
    if (!waits) held = false;
    HOOKED;
  }
  for (s->continued = false; (held || waits) && !s->continued && !s->replaced;) {
    await();
    on_http_filter_scheduled(s, s->filter, 0);
    HOOKED;
  }
  complete = true;
  for (size_t i = 0; i < h->count; i++) {
    if (h->keys[i].length != 6 || memcmp(h->keys[i].data, "x-weft", 6) != 0) continue;
    if (h->values[i].length >= 8 && memcmp(h->values[i].data, "composed", 8) == 0) composed++;
    if (h->values[i].length >= 6 && memcmp(h->values[i].data, "passed", 6) == 0) passed++;
  }
destroy:
  on_http_filter_destroy(s->filter);
  for (int type = 0; type < 4; type++) {
    for (size_t i = 0; i < s->headers[type].count; i++) free(s->headers[type].keys[i].data), free(s->headers[type].values[i].data);
    free(s->bodies[type].data);
  }
  free(s->details.data);
  free(s);
  played++;
  return complete;
}

static text line(void) {
  static char buffer[1 << 16];
  if (fgets(buffer, sizeof buffer, stdin) == NULL) return (text){0};
  return copy(buffer, strcspn(buffer, "\n"));
}

int main(int argc, char** argv) {
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return fprintf(stderr, "%s\n", dlerror()), 2;
#define FIND(name) *(void**)&name = find(library, #name)
  FIND(on_program_init), FIND(on_http_filter_config_new), FIND(on_http_filter_config_destroy), FIND(on_http_filter_new);
  FIND(on_http_filter_destroy), FIND(on_http_filter_request_headers), FIND(on_http_filter_response_headers);
  FIND(on_http_filter_response_body), FIND(on_http_filter_response_trailers), FIND(on_http_filter_scheduled);
  on_program_init();
  text json = copy(argv[2], strlen(argv[2]));
  const void* config = on_http_filter_config_new(NULL, (envoy_dynamic_module_type_envoy_buffer){"weft", 4},
                                                 (envoy_dynamic_module_type_envoy_buffer){json.data, json.length});
  free(json.data);
  if (config == NULL) return 2;
  for (text first = line(); first.data != NULL; first = line()) {
    headers response = {0};
    char numbers[64];
    snprintf(numbers, sizeof numbers, "%.*s", (int)first.length, first.data);
    free(first.data);
    size_t length = 0;
    sscanf(numbers, "%zu %zu", &response.count, &length);
    for (size_t i = 0; i < response.count; i++) response.keys[i] = line(), response.values[i] = line();
    text body = {malloc(length + 1), length};
    if (fread(body.data, 1, length, stdin) != length) return 2;
    for (int parts = 1; parts <= 3; parts += 2) {
      for (int trailers = 0; trailers < 2; trailers++) {
        for (int hooks = 0; !play(config, &response, body, parts, trailers, hooks); hooks++) {}
      }
    }
    for (size_t i = 0; i < response.count; i++) free(response.keys[i].data), free(response.values[i].data);
    free(body.data);
  }
  on_http_filter_config_destroy(config);
  printf("played %d, composed %d, passed %d\n", played, composed, passed);
  return 0;
}
