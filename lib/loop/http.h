/* libcurl's multi interface on the loop: transfers run while the loop turns. What a transfer asks
 * for is set up by its owner on the easy handle; connections are shared and kept, HTTP/2 ones carry
 * many transfers. */
#pragma once

#include <curl/curl.h>
#include <uv.h>

struct http;
struct http_transfer;

struct http *http_new(uv_loop_t *loop);
/* Ends every transfer (done is called with CURLE_ABORTED_BY_CALLBACK). The loop must turn until it
 * returns from uv_run. Not from within a callback of a transfer. */
void http_free(struct http *http);

/* Takes 'easy'. done is called exactly once, never from within http_start(); after it the easy
 * handle is gone. Transfers may be started and cancelled from anywhere, also from write callbacks
 * and from done. */
struct http_transfer *http_start(struct http *http, CURL *easy,
                                 void (*done)(void *owner, CURL *easy, CURLcode result),
                                 void *owner);
/* done is called with CURLE_ABORTED_BY_CALLBACK, before this returns or, within a callback of curl,
 * right after it; until then the callbacks of the easy handle may still be called. */
void http_cancel(struct http_transfer *transfer);
