/* The loader's state machine. Used by confd.c.
 *
 *            want                 good                    renamed
 *   IDLE ─────────────► CHECKING ───────► (write file) ───────────► CONFIGURING ──► IDLE
 *    ▲  connected         │ bad                │ not connected         │ refused: old file back
 *    └─► VERIFYING        └────────────────────┴───────────────────────┘
 */
#include "confd/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/bird/client.h"
#include "lib/loop/child.h"

LOG_MODULE("load");

#define CONFIG_MAX ((size_t)256 * 1024 * 1024)
#define CLOCK_DOUBT_MS 5000
#define CHECK_MS 20000
#define CONFIGURE_MS 30000

enum phase {
    PHASE_IDLE,
    PHASE_CHECKING,
    PHASE_CONFIGURING,
    PHASE_VERIFYING,
};

struct loader {
    uv_loop_t *loop;
    struct bird_client *client;
    struct loader_spec spec;
    enum phase phase;
    char *wanted;  /* NULL: nothing yet */
    char *working; /* what is being checked or loaded */
    char *written; /* what the file holds; NULL: unknown or no file */
    char *refused; /* not to be tried again */
    char *new_path;
    bool is_forced;
    bool must_verify;
    bool is_written_blind; /* the file, while BIRD may have been about to read it */
    uint64_t n_reloads;
};

static void step(struct loader *loader);

static char *
copy_or_null(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}

static void
replace(char **slot, char *text)
{
    free(*slot);
    *slot = text;
}

static bool
same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static void
outcome(struct loader *loader, bool is_loaded, const char *reason)
{
    loader->spec.on_outcome(loader->spec.owner, is_loaded, reason);
}

struct loader *
loader_new(uv_loop_t *loop, struct bird_client *client, const struct loader_spec *spec)
{
    struct loader *loader = NEW(struct loader);
    AUTO(str) struct str text = STR_INIT;

    loader->loop = loop;
    loader->client = client;
    loader->spec = *spec;
    loader->new_path = xmalloc(strlen(spec->config_path) + sizeof ".new");
    sprintf(loader->new_path, "%s.new", spec->config_path);
    /* What an earlier confd left is what BIRD runs, most likely; verifying will tell. */
    if (file_read(spec->config_path, CONFIG_MAX, &text, NULL)) {
        loader->written = str_steal(&text);
    }
    return loader;
}

void
loader_free(struct loader *loader)
{
    if (loader == NULL) {
        return;
    }
    free(loader->wanted);
    free(loader->working);
    free(loader->written);
    free(loader->refused);
    free(loader->new_path);
    free(loader);
}

uint64_t
loader_n_reloads(const struct loader *loader)
{
    return loader->n_reloads;
}

static void
refuse(struct loader *loader, const char *reason)
{
    log_error("BIRD's configuration is refused, the last good one stays in force: %s", reason);
    replace(&loader->refused, xstrdup(loader->working));
    unlink(loader->new_path);
    loader->phase = PHASE_IDLE;
    outcome(loader, false, reason);
    step(loader);
}

/* Codes of `configure`, doc/reply_codes: 3 reconfigured, 4 in progress, 5 queued behind one in
 * progress; 6 shutting down. 8xxx and 9xxx: refused. */
static void
on_configured(void *owner, const struct bird_reply *reply)
{
    struct loader *loader = owner;
    struct err err = ERR_INIT;

    loader->phase = PHASE_IDLE;
    switch (bird_reply_class(reply)) {
    case BIRD_DONE:
        if (reply->code < 3 || reply->code > 5) {
            log_warn("BIRD answered %04d to configure; asking what runs", reply->code);
            loader->must_verify = true;
            break;
        }
        loader->n_reloads++;
        loader->is_written_blind = false;
        log_info("BIRD loaded the new configuration");
        outcome(loader, true, "loaded");
        break;
    case BIRD_NO_ANSWER:
        /* Perhaps it was loaded, perhaps not: known after the next connect. */
        loader->must_verify = true;
        outcome(loader, false, reply->err.text);
        break;
    case BIRD_FAILED:
    case BIRD_NOT_COMMAND:
        /* It passed the check and was refused all the same. BIRD keeps what it ran; the file goes
         * back to that too, so that a BIRD that starts now finds something good. */
        if (loader->working != NULL && !file_write_atomic(loader->spec.config_path, loader->working,
                                                          strlen(loader->working), 0644, &err)) {
            log_error("cannot put the old configuration back: %s", err.text);
        }
        replace(&loader->refused, loader->written);
        loader->written = loader->working;
        loader->working = NULL;
        log_error("BIRD refused a configuration it had checked; the last good one stays: %s",
                  reply->err.text);
        outcome(loader, false, reply->err.text);
        break;
    }
    step(loader);
}

static void
configure(struct loader *loader)
{
    char command[512];

    loader->phase = PHASE_CONFIGURING;
    snprintf(command, sizeof command, "configure \"%s\"", loader->spec.config_path);
    bird_client_send(loader->client, command, CONFIGURE_MS, on_configured, loader);
}

/* The check was passed: the new file takes the old one's place. */
static void
install(struct loader *loader)
{
    struct err err = ERR_INIT;

    if (rename(loader->new_path, loader->spec.config_path) < 0) {
        (void)err_sys(&err, errno, "cannot rename %s", loader->new_path);
        refuse(loader, err.text);
        return;
    }
    /* From here 'working' is the text before, for the way back. */
    char *before = loader->written;
    loader->written = loader->working;
    loader->working = before;
    if (bird_client_is_connected(loader->client)) {
        configure(loader);
        return;
    }
    loader->phase = PHASE_IDLE;
    loader->must_verify = loader->is_written_blind = true;
    log_info("wrote %s; BIRD is not there yet", loader->spec.config_path);
    outcome(loader, false, "BIRD is not connected");
    step(loader);
}

static void
on_checked_by_bird(void *owner, const struct bird_reply *reply)
{
    struct loader *loader = owner;

    switch (bird_reply_class(reply)) {
    case BIRD_DONE:
        install(loader);
        break;
    case BIRD_FAILED:
    case BIRD_NOT_COMMAND:
        refuse(loader, reply->err.text);
        break;
    case BIRD_NO_ANSWER:
        loader->phase = PHASE_IDLE; /* again, by bird -p or by the next BIRD */
        step(loader);
        break;
    }
}

static void
on_checked_by_child(void *owner, const struct child_result *result)
{
    struct loader *loader = owner;

    if (!result->started) {
        log_warn("cannot check the configuration without BIRD, it is written unchecked: %s",
                 str_text(&result->text));
        install(loader);
    } else if (result->exit_code == 0) {
        install(loader);
    } else if (result->timed_out || result->signal != 0) {
        refuse(loader, "the check did not end");
    } else {
        refuse(loader, str_text(&result->text));
    }
}

static void
check(struct loader *loader)
{
    struct err err = ERR_INIT;

    loader->phase = PHASE_CHECKING;
    loader->is_forced = false;
    replace(&loader->working, xstrdup(loader->wanted));
    if (!file_write_atomic(loader->new_path, loader->working, strlen(loader->working), 0644,
                           &err)) {
        log_error_every(30, "cannot write BIRD's configuration, trying again: %s", err.text);
        loader->phase = PHASE_IDLE;
        outcome(loader, false, err.text);
        return;
    }
    if (bird_client_is_connected(loader->client)) {
        char command[512];
        snprintf(command, sizeof command, "configure check \"%s\"", loader->new_path);
        bird_client_send(loader->client, command, CHECK_MS, on_checked_by_bird, loader);
    } else {
        const char *const argv[] = {loader->spec.bird_binary, "-p", "-c", loader->new_path, NULL};
        child_run(loader->loop, &(struct child_spec){.argv = argv, .deadline_ms = CHECK_MS},
                  on_checked_by_child, loader);
    }
}

/* "Last reconfiguration on 2026-11-23 22:15:18.427", local time. 0: not found. */
static int64_t
last_reconfiguration_ms(const struct bird_reply *reply)
{
    static const char key[] = "Last reconfiguration on ";

    for (size_t i = 0; i < reply->lines.n; i++) {
        const char *at = strstr(reply->lines.items[i].text, key);
        struct tm tm = {.tm_isdst = -1};
        if (at == NULL) {
            continue;
        }
        const char *rest = strptime(at + strlen(key), "%Y-%m-%d %H:%M:%S", &tm);
        if (rest == NULL) {
            return 0;
        }
        int64_t ms = *rest == '.' ? strtol(rest + 1, NULL, 10) : 0;
        return (int64_t)mktime(&tm) * 1000 + ms;
    }
    return 0;
}

/* Whether BIRD read the file that is there. ctime, not mtime: renaming sets it, so it says when the
 * file came to be there. BIRD tells times by a clock that it reads once in a while: of a file that
 * came while it started it may say to have read it later, and have read the one before. */
static bool
has_read_file(const struct loader *loader, int64_t read_ms)
{
    struct stat status;
    int64_t doubt_ms = loader->is_written_blind ? CLOCK_DOUBT_MS : 0;

    return stat(loader->spec.config_path, &status) == 0 && read_ms > 0 &&
           read_ms >
               (int64_t)status.st_ctim.tv_sec * 1000 + status.st_ctim.tv_nsec / 1000000 + doubt_ms;
}

static void
on_status(void *owner, const struct bird_reply *reply)
{
    struct loader *loader = owner;

    loader->phase = PHASE_IDLE;
    if (bird_reply_class(reply) == BIRD_NO_ANSWER) {
        step(loader); /* must_verify still stands */
        return;
    }
    loader->must_verify = false;
    if (has_read_file(loader, last_reconfiguration_ms(reply))) {
        if (!loader->is_forced && same(loader->wanted, loader->written)) {
            log_info("BIRD runs the configuration that is written");
            outcome(loader, true, "loaded");
        }
        step(loader);
        return;
    }
    if (same(loader->wanted, loader->written)) {
        configure(loader);
        return;
    }
    step(loader);
}

/* Starts what is to be done next, if anything. */
static void
step(struct loader *loader)
{
    if (loader->phase != PHASE_IDLE || loader->wanted == NULL) {
        return;
    }
    if (same(loader->wanted, loader->refused) && !loader->is_forced) {
        return;
    }
    if (!same(loader->wanted, loader->written) || loader->is_forced) {
        check(loader);
    } else if (loader->must_verify && bird_client_is_connected(loader->client)) {
        loader->phase = PHASE_VERIFYING;
        bird_client_send(loader->client, "show status", CHECK_MS, on_status, loader);
    }
}

void
loader_want(struct loader *loader, const char *text, bool force)
{
    replace(&loader->wanted, copy_or_null(text));
    loader->is_forced = loader->is_forced || force;
    step(loader);
}

void
loader_retry(struct loader *loader)
{
    step(loader);
}

void
loader_on_state(struct loader *loader, bool is_connected)
{
    loader->must_verify = true;
    if (is_connected) {
        step(loader);
    } else {
        outcome(loader, false, "BIRD is not connected");
    }
}
