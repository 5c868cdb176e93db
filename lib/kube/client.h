/* What the files of this room share about a client; nobody else includes this. */
#pragma once

#include <sys/stat.h>

#include "lib/base/str.h"
#include "lib/kube/config.h"
#include "lib/kube/kube.h"
#include "lib/loop/http.h"

struct kube_call;

struct kube {
    uv_loop_t *loop;
    struct http *http;
    struct kube_config config;
    struct kube_timing timing;
    struct str token;       /* without white space around */
    struct stat token_stat; /* of the file as it was read */
    struct kube_call *calls;
    uint64_t last_answer_ms; /* monotonic; 0 never */
};

/* Reads the token file when it is another one than last time; a file that cannot be read leaves the
 * old token. 'must': read it in any case (the server refused the token). */
void kube_refresh_token(struct kube *kube, bool must);
void kube_forget_all(struct kube *kube); /* calls, from kube_free() */
