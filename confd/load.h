/* Brings a text into a running BIRD: check, write atomically, `configure`, verify.
 *
 *   - Connected: BIRD itself checks the file (`configure check`), then it replaces the old one and
 * is loaded. Not connected: `bird -p` checks it; BIRD reads it when it starts.
 *   - After each (re)connect BIRD is asked when it read its configuration; when that was before the
 *     file was written, it is told to read it again.
 *   - A text that is refused never replaces the file; one that `configure` refuses after all is
 *     replaced by the one before. The same text is neither loaded nor refused twice. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "lib/base/err.h"

struct bird_client;
struct loader;

struct loader_spec {
    const char *config_path;
    const char *bird_binary;
    /* What runs is what is wanted (true), or why not; called at every outcome. */
    void (*on_outcome)(void *owner, bool is_loaded, const char *reason);
    void *owner;
};

/* Borrows the client and the texts of the spec. */
struct loader *loader_new(uv_loop_t *loop, struct bird_client *client,
                          const struct loader_spec *spec);
/* The loop must turn until it returns first (children end). NULL is fine. */
void loader_free(struct loader *loader);
/* The text is copied. 'force' loads it also when it is the one that runs: files it includes have
 * changed. */
void loader_want(struct loader *loader, const char *text, bool force);
/* Now and then: tries again what could not be written. */
void loader_retry(struct loader *loader);
/* From the client's on_state. */
void loader_on_state(struct loader *loader, bool is_connected);
uint64_t loader_n_reloads(const struct loader *loader);
