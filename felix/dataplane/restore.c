/* The kept iptables-restore, its acknowledgements, and the one-shot process behind it. Used by
 * iptables.c.
 *
 * With -v the tool says comment lines of its input as it comes to them, after what stands above
 * them was committed: a comment with a number at the end of each input is its acknowledgement. A
 * line it does not like ends it. It takes the xtables lock (legacy) from "*table" to COMMIT only.
 */
#include "felix/dataplane/restore.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/loop/child.h"
#include "lib/loop/kick.h"

#define DEADLINE_MS 60000
#define SAID_MAX 2000
/* Comes with exit code 0. */
#define INCOMPATIBLE "is incompatible"

/* One process; it may end after another has taken its place. */
struct kept {
    struct restore *restore;
    struct child *child;
    uint64_t n_written;
    struct str said; /* since the last acknowledgement */
};

struct restore {
    uv_loop_t *loop;
    char name[32];
    char wait[16];
    char probe[20];        /* microseconds; "": not said */
    bool is_kept_outdated; /* it was started with other times for the lock */
    struct kept *kept;     /* NULL: none is spoken to */
    bool is_waiting;
    bool is_once; /* the next one goes to a process of its own */
    uint64_t idle_ms, used_ms, deadline_ms;
    struct kick idle;
    struct str once_input; /* of a process of its own, to quote from */
    struct str refused;    /* a line of it */
    void (*done)(void *owner, bool good, const struct err *err);
    void *owner;
};

static void
end_kept(struct restore *restore)
{
    if (restore->kept) {
        child_end_input(restore->kept->child);
        child_set_deadline(restore->kept->child, restore->deadline_ms);
        restore->kept = NULL;
    }
}

static void
on_idle(void *owner)
{
    struct restore *restore = owner;
    uint64_t rest_ms = uv_now(restore->loop) - restore->used_ms;

    if (restore->is_waiting || rest_ms < restore->idle_ms) {
        kick_later(&restore->idle, restore->idle_ms - (restore->is_waiting ? 0 : rest_ms));
    } else {
        end_kept(restore);
    }
}

struct restore *
restore_new(uv_loop_t *loop, const struct restore_spec *spec)
{
    struct restore *restore = NEW(struct restore);

    restore->loop = loop;
    restore->idle_ms = spec->idle_ms;
    restore->deadline_ms = spec->deadline_ms ? spec->deadline_ms : DEADLINE_MS;
    snprintf(restore->name, sizeof restore->name, "%s", spec->name);
    restore_set_lock(restore, spec->lock_wait_s, spec->lock_probe_ms);
    kick_init(&restore->idle, loop, 0, on_idle, restore);
    return restore;
}

void
restore_set_lock(struct restore *restore, uint32_t wait_s, uint32_t probe_ms)
{
    snprintf(restore->wait, sizeof restore->wait, "%u", wait_s);
    restore->probe[0] = '\0';
    if (probe_ms > 0) {
        snprintf(restore->probe, sizeof restore->probe, "%llu", probe_ms * 1000ULL);
    }
    restore->is_kept_outdated = restore->kept != NULL;
}

void
restore_stop(struct restore *restore)
{
    if (restore) {
        kick_close(&restore->idle);
        if (!restore->is_waiting) {
            end_kept(restore);
        }
    }
}

void
restore_free(struct restore *restore)
{
    if (restore) {
        str_done(&restore->refused);
        free(restore);
    }
}

const char *
restore_refused_line(const struct restore *restore)
{
    return str_text(&restore->refused);
}

static void
finish(struct restore *restore, bool good, const struct err *err)
{
    restore->is_waiting = false;
    restore->is_once = !good;
    restore->used_ms = uv_now(restore->loop);
    if (uv_is_closing((uv_handle_t *)&restore->idle.timer)) {
        end_kept(restore);
    } else if (restore->kept && restore->idle_ms > 0) {
        kick_later(&restore->idle, restore->idle_ms);
    }
    restore->done(restore->owner, good, err);
}

/* Why 'result' is no success; true when it is one. */
static bool
child_succeeded(const struct restore *restore, const struct child_result *result, const char *said,
                struct err *err)
{
    if (!result->started) {
        return err_set(err, "%s: %s; is the package iptables installed?", restore->name, said);
    }
    if (result->timed_out) {
        return err_set(err, "%s: no answer within %llu ms", restore->name,
                       (unsigned long long)restore->deadline_ms);
    }
    if (result->exit_code == 0 && !strstr(said, INCOMPATIBLE)) {
        return true;
    }
    return err_set(err, "%s: exit code %d: %.300s", restore->name, result->exit_code, said);
}

/* ---- a process of its own
 * ------------------------------------------------------------------------- */

/* "iptables-restore: line 12 failed" says little; adds what stands there. */
static void
quote_line(struct restore *restore, const char *said, struct err *err)
{
    const char *line = str_text(&restore->once_input);
    const char *at = said;
    uint32_t number = 0;

    /* "line 12 failed", "Error occurred at line: 12" */
    while (number == 0 && (at = strstr(at, "line"))) {
        at += strlen("line");
        const char *digits = at + strspn(at, ": ");
        for (; *digits >= '0' && *digits <= '9' && number < 1000000; digits++) {
            number = number * 10 + (uint32_t)(*digits - '0');
        }
    }
    for (; number > 1 && *line != '\0'; number--) {
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    size_t len = strcspn(line, "\n");
    if (number == 1 && len > 0 && strncmp(line, "COMMIT", len) != 0) {
        str_add_bytes(&restore->refused, line, len);
        struct err plain = *err;
        err_set_code(err, plain.code, "%.250s (%.*s)", plain.text, (int)(len < 200 ? len : 200),
                     line);
    }
}

static void
on_once_done(void *owner, const struct child_result *result)
{
    struct restore *restore = owner;
    AUTO(str) struct str said = STR_INIT;
    struct err err = ERR_INIT;

    str_addf(&said, "%.500s%.1000s", str_text(&result->out), str_text(&result->text));
    bool good = child_succeeded(restore, result, str_text(&said), &err);
    if (!good) {
        quote_line(restore, str_text(&said), &err);
    }
    str_done(&restore->once_input);
    finish(restore, good, &err);
}

static void
write_once(struct restore *restore, const struct str *input)
{
    const char *const argv[] = {
        restore->name,  "--noflush", "-w", restore->wait, *restore->probe ? "-W" : NULL,
        restore->probe, NULL};
    const struct child_spec spec = {.argv = argv,
                                    .input = str_text(input),
                                    .input_len = input->len,
                                    .deadline_ms = restore->deadline_ms};

    str_add_bytes(&restore->once_input, str_text(input), input->len);
    child_run(restore->loop, &spec, on_once_done, restore);
}

/* ---- kept
 * -------------------------------------------------------------------------------------------- */

static void
on_line(void *owner, const char *line)
{
    struct kept *kept = owner;
    struct restore *restore = kept->restore;
    struct err err = ERR_INIT;
    char expected[40];

    snprintf(expected, sizeof expected, "# canal %llu", (unsigned long long)kept->n_written);
    if (kept != restore->kept || !restore->is_waiting || strcmp(line, expected) != 0) {
        if (kept->said.len < SAID_MAX) {
            str_addf(&kept->said, "%s%.300s", kept->said.len > 0 ? "; " : "", line);
        }
        return;
    }
    child_set_deadline(kept->child, 0);
    bool good = !strstr(str_text(&kept->said), INCOMPATIBLE) ||
                err_set(&err, "%s: %.300s", restore->name, kept->said.text);
    str_clear(&kept->said);
    if (!good) {
        end_kept(restore);
    }
    finish(restore, good, &err);
}

static void
on_kept_done(void *owner, const struct child_result *result)
{
    struct kept *kept = owner;
    struct restore *restore = kept->restore;
    struct err err = ERR_INIT;

    if (kept == restore->kept) {
        restore->kept = NULL;
        if (restore->is_waiting) {
            str_add(&kept->said, str_text(&result->text));
            if (child_succeeded(restore, result, str_text(&kept->said), &err)) {
                err_set_code(&err, 0, "%s ended without an answer: %.300s", restore->name,
                             str_text(&kept->said));
            }
            finish(restore, false, &err);
        }
    }
    str_done(&kept->said);
    free(kept);
}

static void
start_kept(struct restore *restore)
{
    const char *const argv[] = {restore->name,  "--noflush",   "-v",
                                "-w",           restore->wait, *restore->probe ? "-W" : NULL,
                                restore->probe, NULL};
    struct kept *kept = NEW(struct kept);
    const struct child_keep_spec spec = {
        .argv = argv, .line = on_line, .done = on_kept_done, .owner = kept};

    kept->restore = restore;
    restore->kept = kept;
    restore->is_kept_outdated = false;
    kept->child = child_keep(restore->loop, &spec);
}

static void
write_kept(struct restore *restore, const struct str *input)
{
    AUTO(str) struct str text = STR_INIT;

    if (!restore->kept) {
        start_kept(restore);
    }
    str_add_bytes(&text, input->text, input->len);
    str_addf(&text, "# canal %llu\n", (unsigned long long)++restore->kept->n_written);
    child_set_deadline(restore->kept->child, restore->deadline_ms);
    child_write(restore->kept->child, text.text, text.len);
}

void
restore_write(struct restore *restore, const struct str *input,
              void (*done)(void *owner, bool good, const struct err *err), void *owner)
{
    restore->done = done;
    restore->owner = owner;
    restore->is_waiting = true;
    str_clear(&restore->refused);
    if (restore->is_once || restore->is_kept_outdated) {
        end_kept(restore);
    }
    if (restore->is_once) {
        write_once(restore, input);
    } else {
        write_kept(restore, input);
    }
}
