/* One cycle: (save → learn) → plan → restore (→ save → compare). The parts in parentheses only when
 * what the kernel holds is not known: at first, after a failure, after iptables_check(). After a
 * failure the cycle is tried again with backoff, for as long as it takes. Called by felix.c. */
#include "felix/dataplane/iptables.h"

#include <stdio.h>
#include <string.h>

#include "felix/dataplane/restore.h"
#include "felix/dataplane/rules_watch.h"
#include "felix/rules/rules_state.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/loop/child.h"
#include "lib/loop/kick.h"

#define CHILD_DEADLINE_MS 60000
#define POST_WRITE_CHECK_MS 5000
/* A kept legacy process holds the whole table (20 MB at 10,000 rules), one for nft 3 MB at most. */
#define LEGACY_IDLE_MS 10000
/* A policy's chain that the tool refused this often on end is replaced by a drop, so that one
 * policy does not keep all others from being written; it is tried again some time later. */
#define REFUSED_TIMES 2
#define REFUSED_RETRY_MS 60000
#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 10000
/* Writes that come while one runs, or within a time of its end, go in one commit. On legacy a
 * commit takes the longer the more rules there are: fewer of them, a third of a core. On nft the
 * next commit waits until the kernel has freed what this one deleted, for which 20 ms are enough.
 */
#define FREED_MS 20
#define WINDOW_MIN_MS 1
#define WINDOW_MAX_MS 2000
#define WINDOW 2
/* After a cycle with a read-back that took n ms, notifications are gathered for n times this:
 * reading tables that another tool commits all the time takes a tenth of a core at most. */
#define REST 10
#define REST_MIN_MS 20
#define REST_MAX_MS 3000
/* Not at first: a reload of a firewall is several commits, and no rules are there between the first
 * of them and the reading after the last one. */
#define HURRIED 4
#define HURRIED_WITHIN_MS 10000

struct iptables {
    uv_loop_t *loop;
    struct iptables_spec spec;
    struct rules_state *rules;
    struct restore *restore;
    struct rules_watch *watch;
    uint64_t wanted, planned, in_place; /* revisions */
    bool is_applied;                    /* iptables_apply() was called */
    bool must_learn;                    /* what the kernel holds is not known */
    bool is_in_place;                   /* the last cycle ended well */
    bool is_closing;

    /* the cycle */
    bool is_running;
    bool has_learned; /* it began with reading, so it ends with reading */
    bool has_written;
    bool is_drift;     /* what was read was not what had been written */
    bool was_in_place; /* as it began */
    uint64_t began_ms, write_began_ms;
    uint64_t hurried_ms; /* since when readings are counted */
    unsigned n_hurried;

    struct kick write; /* begins cycles for what is wanted anew, and retries */
    struct kick check; /* begins cycles that read */
    struct kick post;  /* some time after a write */
    struct kick again; /* tries what was refused */
    char suspect[CHAIN_NAME_MAX];
    unsigned n_suspected; /* on end */
    uint64_t retry_ms;
    char save_name[32];
    char restore_name[32];
};

static void on_saved(void *owner, const struct child_result *result);
static void write_due(void *owner);
static void check_due(void *owner);
static void post_write(void *owner);
static void try_refused(void *owner);
static void on_touched(void *owner);

struct iptables *
iptables_new(uv_loop_t *loop, const struct iptables_spec *spec)
{
    struct iptables *tables = NEW(struct iptables);
    const char *ip = spec->family == 4 ? "iptables" : "ip6tables";
    const char *backend = spec->backend == IPTABLES_LEGACY ? "legacy" : "nft";

    tables->loop = loop;
    tables->spec = *spec;
    tables->retry_ms = RETRY_MIN_MS;
    tables->must_learn = true;
    tables->wanted = 1; /* nothing at all is something to write, too */
    snprintf(tables->save_name, sizeof tables->save_name, "%s-%s-save", ip, backend);
    snprintf(tables->restore_name, sizeof tables->restore_name, "%s-%s-restore", ip, backend);
    tables->rules = rules_state_new();
    const struct restore_spec restore = {.name = tables->restore_name,
                                         .lock_wait_s = spec->times.lock_wait_s,
                                         .lock_probe_ms = spec->times.lock_probe_ms,
                                         .idle_ms =
                                             spec->backend == IPTABLES_LEGACY ? LEGACY_IDLE_MS : 0};
    tables->restore = restore_new(loop, &restore);
    const struct rules_watch_spec watch = {.family = spec->family,
                                           .backend = spec->backend,
                                           .rules = tables->rules,
                                           .touched = on_touched,
                                           .owner = tables};
    tables->watch = rules_watch_new(loop, &watch);
    kick_init(&tables->write, loop, WINDOW_MIN_MS, write_due, tables);
    kick_init(&tables->check, loop, REST_MIN_MS, check_due, tables);
    kick_init(&tables->post, loop, 0, post_write, tables);
    kick_init(&tables->again, loop, 0, try_refused, tables);
    return tables;
}

void
iptables_set_times(struct iptables *tables, const struct iptables_times *times)
{
    if (tables) {
        tables->spec.times = *times;
        restore_set_lock(tables->restore, times->lock_wait_s, times->lock_probe_ms);
    }
}

void
iptables_stop(struct iptables *tables)
{
    if (tables) {
        tables->is_closing = true;
        kick_close(&tables->write);
        kick_close(&tables->check);
        kick_close(&tables->post);
        kick_close(&tables->again);
        restore_stop(tables->restore);
        rules_watch_stop(tables->watch);
    }
}

void
iptables_free(struct iptables *tables)
{
    if (tables) {
        rules_watch_free(tables->watch);
        restore_free(tables->restore);
        rules_state_free(tables->rules);
        free(tables);
    }
}

uint64_t
iptables_wanted_revision(const struct iptables *tables)
{
    return tables->wanted;
}

uint64_t
iptables_in_place_revision(const struct iptables *tables)
{
    return tables->in_place;
}

uint64_t
iptables_busy_ms(const struct iptables *tables)
{
    return tables->is_running ? clock_monotonic_ms() - tables->began_ms : 0;
}

bool
iptables_is_in_place(const struct iptables *tables)
{
    return tables->is_in_place && tables->in_place == tables->wanted;
}

/* ---- wants
 * -------------------------------------------------------------------------------------------- */

void
iptables_want_chains(struct iptables *tables, struct ruleset *set)
{
    tables->wanted += rules_state_want_chains(tables->rules, set);
}

void
iptables_unwant_chain(struct iptables *tables, const char *table, const char *name)
{
    tables->wanted += rules_state_unwant_chain(tables->rules, table, name);
}

void
iptables_want_hooks(struct iptables *tables, const struct hook *hooks, size_t n)
{
    if (rules_state_want_hooks(tables->rules, hooks, n)) {
        tables->wanted++;
        tables->must_learn = true; /* which are there, and where, has to be read */
    }
}

/* The first call counts, whatever is wanted. True when something is to be written, and no cycle
 * that runs will see to it. */
static bool
take_apply(struct iptables *tables)
{
    bool is_new = tables->wanted != tables->planned;

    if (tables->is_closing || (tables->is_applied && !is_new)) {
        return false;
    }
    tables->is_applied = true;
    return !tables->is_running; /* its end looks for more */
}

void
iptables_apply_within(struct iptables *tables, uint64_t delay_ms)
{
    if (take_apply(tables)) {
        kick_later(&tables->write, delay_ms);
    }
}

void
iptables_apply(struct iptables *tables)
{
    if (!take_apply(tables)) {
        return;
    }
    if (tables->retry_ms > RETRY_MIN_MS) {
        kick_later(&tables->write, RETRY_MIN_MS); /* what is new may be the cure */
    } else {
        kick(&tables->write);
    }
}

void
iptables_check(struct iptables *tables)
{
    if (!tables->is_applied || tables->is_closing) {
        return;
    }
    kick(&tables->check);
}

void
iptables_on_nft(struct iptables *tables, const struct monitor_note *note)
{
    rules_watch_on_nft(tables->watch, note);
}

static void
on_touched(void *owner)
{
    iptables_check(owner);
}

static void
post_write(void *owner)
{
    struct iptables *tables = owner;

    if (rules_watch_is_blind(tables->watch)) {
        iptables_check(tables);
    }
}

static void
try_refused(void *owner)
{
    struct iptables *tables = owner;

    if (rules_state_pardon(tables->rules)) {
        kick(&tables->write);
    }
}

/* ---- the cycle
 * ---------------------------------------------------------------------------------------- */

static uint64_t
between(uint64_t value, uint64_t min, uint64_t max)
{
    return value < min ? min : value > max ? max : value;
}

static uint64_t
rest_ms(struct iptables *tables, uint64_t took_ms)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (now_ms - tables->hurried_ms > HURRIED_WITHIN_MS) {
        tables->hurried_ms = now_ms;
        tables->n_hurried = 0;
    }
    return between(tables->n_hurried++ < HURRIED ? took_ms : took_ms * REST, REST_MIN_MS,
                   REST_MAX_MS);
}

/* As both tools say it, whatever the rule. */
static bool
is_for_a_set(const struct err *err)
{
    return strstr(err->text, "Set cali") && strstr(err->text, "doesn't exist");
}

static void
finish(struct iptables *tables, bool good, const struct err *err)
{
    uint64_t took_ms = clock_monotonic_ms() - tables->began_ms;
    struct iptables_result result = {
        .in_place = good, .wrote = tables->has_written, .is_drift = good && tables->is_drift};

    if (err) {
        result.err = *err;
        result.is_for_a_set = is_for_a_set(err);
    }
    tables->is_running = false;
    tables->is_in_place = good;
    tables->must_learn |= !good;
    if (tables->is_closing) {
        return;
    }
    if (tables->has_learned) {
        tables->check.window_ms = rest_ms(tables, took_ms);
    }
    if (good) {
        tables->in_place = tables->planned;
        tables->retry_ms = RETRY_MIN_MS;
        if (tables->wanted != tables->planned) {
            kick_later(&tables->write, tables->write.window_ms);
        }
        if (tables->must_learn) {
            kick(&tables->check); /* something was told meanwhile */
        }
        if (tables->has_written) {
            uint64_t check_ms = tables->spec.times.post_write_check_ms;
            kick_later(&tables->post, check_ms > 0 ? check_ms : POST_WRITE_CHECK_MS);
        }
    } else {
        kick_later(&tables->write, tables->retry_ms);
        tables->retry_ms = between(tables->retry_ms * 2, RETRY_MIN_MS, RETRY_MAX_MS);
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

    rules_watch_reading(tables->watch);
    child_run(tables->loop, &spec, on_saved, tables);
}

/* Chains of policies only: a drop in place of dispatch would close the node. */
static void
note_refused(struct iptables *tables, struct err *err)
{
    const char *line = restore_refused_line(tables->restore);
    char name[CHAIN_NAME_MAX];

    if (is_for_a_set(err)) {
        return; /* the chain is not what is wrong */
    }
    if (strncmp(line, "-A cali-pi-", 11) != 0 && strncmp(line, "-A cali-po-", 11) != 0) {
        tables->n_suspected = 0;
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)strcspn(line + 3, " "), line + 3);
    tables->n_suspected = strcmp(name, tables->suspect) == 0 ? tables->n_suspected + 1 : 1;
    memcpy(tables->suspect, name, sizeof name);
    if (tables->n_suspected < REFUSED_TIMES || !rules_state_refuse(tables->rules, name)) {
        return;
    }
    struct err plain = *err;
    err_set_code(err, plain.code, "%.420s; meanwhile this policy denies everything", plain.text);
    kick_later(&tables->again, REFUSED_RETRY_MS);
}

static void
on_restored(void *owner, bool good, const struct err *err)
{
    struct iptables *tables = owner;

    rules_watch_wrote(tables->watch, good);
    if (tables->spec.backend == IPTABLES_LEGACY) {
        uint64_t took_ms = clock_monotonic_ms() - tables->write_began_ms;
        tables->write.window_ms = between(took_ms * WINDOW, WINDOW_MIN_MS, WINDOW_MAX_MS);
    }
    if (!good) {
        struct err why = *err;
        rules_state_failed(tables->rules);
        note_refused(tables, &why);
        finish(tables, false, &why);
        return;
    }
    tables->n_suspected = 0;
    rules_state_committed(tables->rules);
    if (tables->has_learned && !tables->is_closing) {
        save(tables);
    } else {
        finish(tables, true, NULL);
    }
}

/* Writes the difference between what is wanted now and what is known. */
static void
write_difference(struct iptables *tables)
{
    AUTO(str) struct str input = STR_INIT;
    struct err err = ERR_INIT;
    bool is_verifying = tables->has_learned && tables->has_written;
    bool is_new = tables->wanted != tables->planned;
    struct plan plan = rules_state_plan(tables->rules, &input);

    if (plan.n_tables == 0) {
        tables->planned = tables->wanted;
        rules_state_committed(tables->rules);
        finish(tables, true, NULL);
    } else if (is_verifying && !is_new) {
        /* Written and still different: another tool is at it. */
        err_set_code(&err, 0, "%s: the rules differ from what was just written; trying again",
                     tables->restore_name);
        rules_state_failed(tables->rules);
        finish(tables, false, &err);
    } else {
        tables->is_drift |= tables->has_learned && tables->was_in_place && !is_new;
        tables->planned = tables->wanted;
        tables->has_written = true;
        tables->write_began_ms = clock_monotonic_ms();
        tables->write.window_ms = plan.deletes ? FREED_MS : WINDOW_MIN_MS;
        rules_watch_writing(tables->watch, plan.n_tables);
        restore_write(tables->restore, &input, on_restored, tables);
    }
}

static void
on_saved(void *owner, const struct child_result *result)
{
    struct iptables *tables = owner;
    struct err err = ERR_INIT;

    if (tables->is_closing) {
        finish(tables, false, NULL);
    } else if (!child_succeeded(tables->save_name, result, &err) ||
               !rules_state_learn(tables->rules, str_text(&result->out), &err)) {
        finish(tables, false, &err);
    } else {
        write_difference(tables);
    }
}

static void
write_due(void *owner)
{
    struct iptables *tables = owner;

    if (tables->is_running || tables->is_closing) {
        return;
    }
    tables->is_running = true;
    tables->has_written = tables->is_drift = false;
    tables->was_in_place = tables->is_in_place;
    tables->has_learned = tables->must_learn;
    tables->must_learn = false;
    tables->began_ms = clock_monotonic_ms();
    if (tables->has_learned) {
        save(tables);
    } else {
        write_difference(tables);
    }
}

static void
check_due(void *owner)
{
    struct iptables *tables = owner;

    tables->must_learn = true;
    write_due(tables); /* one that runs sees to it at its end */
}
