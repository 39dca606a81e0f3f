// The interface between hooks.c and Go.
#pragma once

#include "abi.h"

// The values of module.Next.
enum { weft_continue = 0, weft_collect = 1, weft_wait = 2, weft_replaced = 3, weft_forward = 4 };

// Changes of headers are one string. A change is a byte of these, the lengths of name and value as uint32, name and value.
enum { weft_header_remove = 0, weft_header_set = 1, weft_header_add = 2 };

void weft_change_headers(void* envoy, int type, const char* changes, size_t length);
void weft_replace_body(void* envoy, bool received, const char* data, size_t length);
void weft_set_metadata(void* envoy, const char* rule, size_t rule_length, const char* verdict, size_t verdict_length,
                       const char* reason, size_t reason_length, const char* cache, size_t cache_length, const char* core,
                       size_t core_length, double legacy, double added, double mongodb);

// weft_response replaces a response: its headers, as one string, and its body.
typedef struct {
  uint32_t status;
  size_t headers_length, body_length;
  char data[];
} weft_response;

weft_response* weft_new_response(uint32_t status, const char* headers, size_t headers_length, const char* body, size_t body_length);
