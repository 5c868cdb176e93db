/* Child processes: argv arrays, pipes, a deadline; never a shell. Started with posix_spawn. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

struct child_result {
    bool started;   /* false: 'text' says why not */
    bool timed_out; /* killed at the deadline */
    int exit_code;  /* -1 when ended by a signal */
    int signal;
    struct str out;  /* standard output, at most 64 MiB */
    struct str text; /* standard error, at most 64 KiB, or the reason it did not start */
};

struct child_spec {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    const void *input;       /* copied; NULL for none */
    size_t input_len;
    uint64_t deadline_ms; /* SIGKILL after this */
};

/* Calls done exactly once from the loop; 'result' is borrowed for the call. */
void child_run(uv_loop_t *loop, const struct child_spec *spec,
               void (*done)(void *owner, const struct child_result *result), void *owner);

/* ---- a child that is kept and talked to ------------------------------------------------------ */

struct child;

struct child_keep_spec {
    const char *const *argv;
    /* A line it said on standard output or error, without its end, in the order it said them: both
     * are one pseudo terminal, because what the C library writes to a pipe comes in blocks. */
    void (*line)(void *owner, const char *line);
    /* Exactly once, from the loop; 'out' and 'text' are empty but for the reason it did not start.
     * The child's memory goes with it. */
    void (*done)(void *owner, const struct child_result *result);
    void *owner;
};

struct child *child_keep(uv_loop_t *loop, const struct child_keep_spec *spec);
/* More input; copied. */
void child_write(struct child *child, const void *data, size_t len);
/* SIGKILL when this has passed; 0: never. Replaces what was set before. */
void child_set_deadline(struct child *child, uint64_t deadline_ms);
/* Ends its input, by which it should come to its own end. */
void child_end_input(struct child *child);
