/* One cycle: save → compare → (restore → save → compare). After a failure the cycle is tried again
 * with backoff, for as long as it takes. */
#include "felix/dataplane/iptables.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/loop/child.h"
#include "lib/loop/kick.h"

#define CHILD_DEADLINE_MS 60000
#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 10000
/* After a cycle that took n ms, notifications are gathered for n times this: reading tables that
 * another tool commits all the time takes a tenth of a core at most. */
#define REST 10
#define REST_MIN_MS 20
#define REST_MAX_MS 3000

struct iptables {
    uv_loop_t *loop;
    struct iptables_spec spec;
    struct ruleset want;
    bool is_wanted; /* iptables_want() was called */
    bool is_running;
    bool is_stale;    /* something happened during the cycle: run another */
    bool has_written; /* in this cycle */
    bool is_in_place;
    bool was_in_place; /* as this cycle began */
    bool is_closing;
    struct kick kick;
    uint64_t began_ms; /* this cycle */
    uint64_t retry_ms;
    char save_name[32];
    char restore_name[32];
};

static void cycle(void *owner);
static void on_saved(void *owner, const struct child_result *result);

struct iptables *
iptables_new(uv_loop_t *loop, const struct iptables_spec *spec)
{
    struct iptables *tables = NEW(struct iptables);
    const char *ip = spec->family == 4 ? "iptables" : "ip6tables";
    const char *backend = spec->backend == IPTABLES_LEGACY ? "legacy" : "nft";

    tables->loop = loop;
    tables->spec = *spec;
    tables->retry_ms = RETRY_MIN_MS;
    snprintf(tables->save_name, sizeof tables->save_name, "%s-%s-save", ip, backend);
    snprintf(tables->restore_name, sizeof tables->restore_name, "%s-%s-restore", ip, backend);
    ruleset_init(&tables->want);
    kick_init(&tables->kick, loop, REST_MIN_MS, cycle, tables);
    return tables;
}

void
iptables_stop(struct iptables *tables)
{
    if (tables) {
        tables->is_closing = true;
        kick_close(&tables->kick);
    }
}

void
iptables_free(struct iptables *tables)
{
    if (tables) {
        ruleset_done(&tables->want);
        free(tables);
    }
}

bool
iptables_is_in_place(const struct iptables *tables)
{
    return tables->is_in_place;
}

void
iptables_want(struct iptables *tables, struct ruleset *set)
{
    if (tables->is_wanted && ruleset_equal(&tables->want, set)) {
        ruleset_done(set);
        return;
    }
    ruleset_done(&tables->want);
    tables->want = *set;
    ruleset_init(set);
    tables->is_wanted = true;
    tables->is_in_place = false;
    iptables_check(tables);
    if (!tables->is_running && !tables->is_closing) {
        kick_later(&tables->kick, 0); /* what is wanted anew does not rest */
    }
}

void
iptables_check(struct iptables *tables)
{
    if (!tables->is_wanted || tables->is_closing) {
        return;
    }
    if (tables->is_running) {
        tables->is_stale = true;
        return;
    }
    kick(&tables->kick);
}

static void
finish(struct iptables *tables, bool good, const struct err *err)
{
    struct iptables_result result = {.in_place = good,
                                     .wrote = tables->has_written,
                                     .is_drift =
                                         good && tables->has_written && tables->was_in_place};

    if (err) {
        result.err = *err;
    }
    uint64_t rest_ms = (clock_monotonic_ms() - tables->began_ms) * REST;

    tables->is_running = false;
    tables->is_in_place = good;
    tables->kick.window_ms = rest_ms < REST_MIN_MS   ? REST_MIN_MS
                             : rest_ms > REST_MAX_MS ? REST_MAX_MS
                                                     : rest_ms;
    if (tables->is_closing) {
        return;
    }
    if (good) {
        tables->retry_ms = RETRY_MIN_MS;
    } else {
        kick_later(&tables->kick, tables->retry_ms);
        tables->retry_ms =
            tables->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : tables->retry_ms * 2;
    }
    if (tables->is_stale) {
        tables->is_stale = false;
        kick(&tables->kick);
    }
    tables->spec.settled(tables->spec.owner, &result);
}

static bool
child_succeeded(const char *name, const struct child_result *result, struct err *err)
{
    if (!result->started) {
        return err_set(err, "%s: %s; is the package iptables installed?", name,
                       str_text(&result->text));
    }
    if (result->timed_out) {
        return err_set(err, "%s: no answer within %d s", name, CHILD_DEADLINE_MS / 1000);
    }
    return result->exit_code == 0 || err_set(err, "%s: exit code %d: %.300s", name,
                                             result->exit_code, str_text(&result->text));
}

static void
save(struct iptables *tables)
{
    const char *const argv[] = {tables->save_name, NULL};
    const struct child_spec spec = {.argv = argv, .deadline_ms = CHILD_DEADLINE_MS};

    child_run(tables->loop, &spec, on_saved, tables);
}

static void
on_restored(void *owner, const struct child_result *result)
{
    struct iptables *tables = owner;
    struct err err = ERR_INIT;

    if (!child_succeeded(tables->restore_name, result, &err)) {
        finish(tables, false, &err);
        return;
    }
    save(tables);
}

static void
restore(struct iptables *tables, const struct str *input)
{
    char wait[16];
    const char *const argv[] = {tables->restore_name, "--noflush", "-w", wait, NULL};
    const struct child_spec spec = {.argv = argv,
                                    .input = input->text,
                                    .input_len = input->len,
                                    .deadline_ms = CHILD_DEADLINE_MS};

    snprintf(wait, sizeof wait, "%u", tables->spec.lock_wait_s);
    tables->has_written = true;
    child_run(tables->loop, &spec, on_restored, tables);
}

static void
on_saved(void *owner, const struct child_result *result)
{
    struct iptables *tables = owner;
    AUTO(str) struct str input = STR_INIT;
    struct err err = ERR_INIT;

    if (tables->is_closing) {
        finish(tables, false, NULL);
    } else if (!child_succeeded(tables->save_name, result, &err) ||
               !ruleset_diff(&tables->want, str_text(&result->out), &input, &err)) {
        finish(tables, false, &err);
    } else if (input.len == 0) {
        finish(tables, true, NULL);
    } else if (tables->has_written && !tables->is_stale) {
        /* Written and still different, with nothing said to have changed: another tool is at it. */
        err_set_code(&err, 0, "%s: the rules differ from what was just written; trying again",
                     tables->restore_name);
        finish(tables, false, &err);
    } else {
        restore(tables, &input);
    }
}

static void
cycle(void *owner)
{
    struct iptables *tables = owner;

    if (tables->is_running || tables->is_closing) {
        return;
    }
    tables->is_running = true;
    tables->has_written = false;
    tables->is_stale = false;
    tables->was_in_place = tables->is_in_place;
    tables->began_ms = clock_monotonic_ms();
    save(tables);
}
