/* Children, waiters, and the metrics. Called by felix/people.c and by each scrape. */
#include "felix/server/counters.h"

#include <stdio.h>

#include "felix/server/describe.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/loop/child.h"
#include "lib/loop/kick.h"

LOG_MODULE("counters");

#define CHILD_DEADLINE_MS 30000
#define REST 2
#define REST_MIN_MS 1000
#define SCRAPE_REST 20
#define SCRAPE_REST_MIN_MS 5000
#define BUSY_RETRY_MS 50
#define BUSY_MAX_MS 10000 /* rules that are written all the time cannot be counted */
/* So many label sets a metric shows; the rest is one. */
#define SERIES_MAX 2000

struct waiter {
    uint64_t reading; /* the first one that begins after it asked */
    void (*done)(void *owner, const struct err *err);
    void *owner;
};

struct counters {
    struct counters_spec spec;
    struct totals *totals;
    struct kick kick;
    VEC(struct waiter) waiters;
    bool is_running, is_stopping;
    uint64_t wanted_ms;         /* the first waiter came; 0: nobody waits */
    uint64_t ended_ms, took_ms; /* the last reading */
    /* the reading that goes on */
    struct counts *counts;
    uint64_t n_readings; /* begun */
    uint64_t began_us, revision;
    size_t family_index;
    struct metric *rule_packets, *rule_bytes, *denied, *seconds, *failures;
    size_t n_series[2];
    struct count rest[2];
};

/* ---- metrics
 * ---------------------------------------------------------------------------------- */

static const char *
number_text(size_t number, char ret_text[24])
{
    snprintf(ret_text, 24, "%zu", number);
    return ret_text;
}

static void
show_rule(struct counters *counters, const struct active_policy *active, enum direction direction,
          size_t index)
{
    const struct policy *policy = active->policy;
    const struct policy_rule *rule =
        direction == INGRESS ? &policy->ingress[index] : &policy->egress[index];
    struct count count = totals_of_rule(counters->totals, active, direction, index);
    const char *staged = policy->is_staged ? "true" : "false";
    const char *action = describe_action(rule->action), *way = describe_direction(direction);
    AUTO(str) struct str name = STR_INIT;
    char number[24];

    if (count.packets == 0) {
        return;
    }
    describe_policy(policy, &name);
    number_text(index, number);
    if (counters->n_series[0]++ < SERIES_MAX) {
        metric_set_for(counters->rule_packets, (double)count.packets, "policy", name.text,
                       "direction", way, "rule", number, "action", action, "staged", staged, NULL);
        metric_set_for(counters->rule_bytes, (double)count.bytes, "policy", name.text, "direction",
                       way, "rule", number, "action", action, "staged", staged, NULL);
    } else {
        counters->rest[0].packets += count.packets;
        counters->rest[0].bytes += count.bytes;
    }
    if (rule->action != RULE_DENY || policy->is_staged) {
        return;
    }
    if (counters->n_series[1]++ < SERIES_MAX) {
        metric_set_for(counters->denied, (double)count.packets, "policy", name.text, "tier",
                       policy->tier, "rule", number, "direction", way, "reason", "rule", NULL);
    } else {
        counters->rest[1].packets += count.packets;
    }
}

static void
show_policy(void *owner, const struct active_policy *active, uint64_t revision)
{
    (void)revision;
    for (size_t i = 0; i < active->policy->n_ingress; i++) {
        show_rule(owner, active, INGRESS, i);
    }
    for (size_t i = 0; i < active->policy->n_egress; i++) {
        show_rule(owner, active, EGRESS, i);
    }
}

static void
show_denial(void *owner, const struct denial *denial)
{
    struct counters *counters = owner;

    metric_set_for(counters->denied, (double)denial->count.packets, "policy", "", "tier",
                   denial->tier, "rule", "", "direction", describe_direction(denial->direction),
                   "reason", describe_reason(denial->reason), NULL);
}

static void
show_rest(struct counters *counters)
{
    static const char others[] = "(others)";

    if (counters->n_series[0] > SERIES_MAX) {
        metric_set_for(counters->rule_packets, (double)counters->rest[0].packets, "policy", others,
                       NULL);
        metric_set_for(counters->rule_bytes, (double)counters->rest[0].bytes, "policy", others,
                       NULL);
    }
    if (counters->n_series[1] > SERIES_MAX) {
        metric_set_for(counters->denied, (double)counters->rest[1].packets, "policy", others, NULL);
    }
}

static void
on_collect(void *owner)
{
    struct counters *counters = owner;

    metric_clear(counters->rule_packets);
    metric_clear(counters->rule_bytes);
    metric_clear(counters->denied);
    for (size_t i = 0; i < ARRAY_LEN(counters->rest); i++) {
        counters->n_series[i] = 0;
        counters->rest[i] = (struct count){0};
    }
    in_force_each_policy(counters->spec.in_force, show_policy, counters);
    totals_each_denial(counters->totals, show_denial, counters);
    show_rest(counters);
    uint64_t rest_ms = counters->took_ms * SCRAPE_REST;
    rest_ms = rest_ms > SCRAPE_REST_MIN_MS ? rest_ms : SCRAPE_REST_MIN_MS;
    if (counters->ended_ms == 0 || clock_monotonic_ms() - counters->ended_ms >= rest_ms) {
        counters_read(counters, NULL, NULL);
    }
}

static void
define(struct counters *counters)
{
    struct metrics *all = counters->spec.metrics;

    counters->rule_packets = metrics_define(
        all, METRIC_COUNTER, "canal_policy_rule_packets_total",
        "Packets each policy rule matched, as the kernel counts them; at the scrape before.");
    counters->rule_bytes = metrics_define(all, METRIC_COUNTER, "canal_policy_rule_bytes_total",
                                          "Bytes each policy rule matched.");
    counters->denied = metrics_define(
        all, METRIC_COUNTER, "canal_denied_packets_total",
        "Packets denied, by who denied them, as the kernel counts them; at the scrape before.");
    counters->seconds =
        metrics_define(all, METRIC_HISTOGRAM, "canal_counters_read_seconds",
                       "Time to read the kernel's counters of all rules, with the child's.");
    counters->failures = metrics_define(all, METRIC_COUNTER, "canal_counters_read_failures_total",
                                        "Readings of the kernel's counters that failed.");
    metrics_on_collect(all, on_collect, counters);
}

/* ---- reading
 * ---------------------------------------------------------------------------------- */

/* Calls those that asked before this reading began; they may ask again. */
static void
answer(struct counters *counters, const struct err *err)
{
    VEC(struct waiter) waiters = VEC_INIT;

    for (size_t i = 0; i < counters->waiters.n;) {
        const struct waiter waiter = counters->waiters.items[i];
        if (waiter.reading <= counters->n_readings) {
            VEC_PUSH(&waiters, waiter);
            VEC_REMOVE_SWAP(&counters->waiters, i);
        } else {
            i++;
        }
    }
    VEC_FOREACH (&waiters, waiter) {
        if (waiter->done) {
            waiter->done(waiter->owner, err);
        }
    }
    VEC_DONE(&waiters);
}

static void
finish(struct counters *counters, const struct err *err)
{
    uint64_t took_us = clock_monotonic_us() - counters->began_us;
    uint64_t rest_ms = took_us * REST / 1000;

    counters->took_ms = took_us / 1000;
    counts_free(counters->counts);
    counters->counts = NULL;
    counters->is_running = false;
    counters->ended_ms = clock_monotonic_ms();
    counters->kick.window_ms = rest_ms > REST_MIN_MS ? rest_ms : REST_MIN_MS;
    if (err) {
        metric_add(counters->failures, 1);
        log_warn_every(60, "counters of rules: %s; they stay as they were", err->text);
    } else {
        metric_observe(counters->seconds, (double)took_us / 1e6);
    }
    answer(counters, err);
    counters->wanted_ms = counters->waiters.n > 0 ? counters->ended_ms : 0;
    if (counters->waiters.n > 0) {
        kick(&counters->kick);
    }
}

static void read_family(struct counters *counters, const struct counters_source *source);

/* What was read belongs to what was in force when it began. */
static void
read_again(struct counters *counters)
{
    struct err err = ERR_INIT;

    counts_free(counters->counts);
    counters->counts = NULL;
    counters->is_running = false;
    if (clock_monotonic_ms() - counters->wanted_ms > BUSY_MAX_MS) {
        counters->began_us = clock_monotonic_us();
        counters->n_readings++;
        err_set_code(&err, 0, "the rules change all the time");
        finish(counters, &err);
    } else {
        kick_later(&counters->kick, BUSY_RETRY_MS);
    }
}

static bool
child_succeeded(const char *tool, const struct child_result *result, struct err *err)
{
    if (!result->started) {
        return err_set(err, "%s: %s", tool, str_text(&result->text));
    }
    if (result->timed_out) {
        return err_set(err, "%s: no answer within %d s", tool, CHILD_DEADLINE_MS / 1000);
    }
    return result->exit_code == 0 || err_set(err, "%s: exit code %d: %.200s", tool,
                                             result->exit_code, str_text(&result->text));
}

static void
on_saved(void *owner, const struct child_result *result)
{
    struct counters *counters = owner;
    struct counters_source source;
    struct err err = ERR_INIT;

    if (counters->is_stopping) {
        return;
    }
    if (!counters->spec.source(counters->spec.owner, &source) ||
        in_force_revision(counters->spec.in_force) != counters->revision) {
        read_again(counters);
        return;
    }
    if (!child_succeeded(source.tools[counters->family_index], result, &err)) {
        finish(counters, &err);
        return;
    }
    counts_read(counters->counts, counters->family_index == 0 ? 4 : 6, str_text(&result->out));
    counters->family_index++;
    read_family(counters, &source);
}

static void
read_family(struct counters *counters, const struct counters_source *source)
{
    while (counters->family_index < 2 && !source->tools[counters->family_index]) {
        counters->family_index++;
    }
    if (counters->family_index == 2) {
        totals_add(counters->totals, counters->counts, counters->spec.in_force, source->config);
        finish(counters, NULL);
        return;
    }
    /* Not all tables where one will do: in nat there are thousands of rules of kube-proxy's. */
    const char *const argv[] = {source->tools[counters->family_index], "-c",
                                source->is_all_tables ? NULL : "-t", "filter", NULL};
    const struct child_spec spec = {.argv = argv, .deadline_ms = CHILD_DEADLINE_MS};
    child_run(counters->spec.loop, &spec, on_saved, counters);
}

static void
begin(void *owner)
{
    struct counters *counters = owner;
    struct counters_source source;

    if (counters->is_running || counters->is_stopping || counters->wanted_ms == 0) {
        return;
    }
    if (!counters->spec.source(counters->spec.owner, &source)) {
        read_again(counters);
        return;
    }
    counters->is_running = true;
    counters->n_readings++;
    counters->counts = counts_new();
    counters->began_us = clock_monotonic_us();
    counters->revision = in_force_revision(counters->spec.in_force);
    counters->family_index = 0;
    read_family(counters, &source);
}

void
counters_read(struct counters *counters, void (*done)(void *owner, const struct err *err),
              void *owner)
{
    const struct err ending = {.text = "felix is ending"};

    if (counters->is_stopping) {
        if (done) {
            done(owner, &ending);
        }
        return;
    }
    VEC_PUSH(&counters->waiters, (struct waiter){counters->n_readings + 1, done, owner});
    if (counters->wanted_ms == 0) {
        counters->wanted_ms = clock_monotonic_ms();
    }
    if (!counters->is_running) {
        kick(&counters->kick);
    }
}

const struct totals *
counters_totals(const struct counters *counters)
{
    return counters->totals;
}

/* ---- life
 * ------------------------------------------------------------------------------------- */

struct counters *
counters_new(const struct counters_spec *spec)
{
    struct counters *counters = NEW(struct counters);

    counters->spec = *spec;
    counters->totals = totals_new();
    kick_init(&counters->kick, spec->loop, REST_MIN_MS, begin, counters);
    define(counters);
    return counters;
}

void
counters_stop(struct counters *counters)
{
    if (counters && !counters->is_stopping) {
        const struct err ending = {.text = "felix is ending"};
        counters->is_stopping = true;
        counters->n_readings = UINT64_MAX; /* all of them */
        answer(counters, &ending);
        kick_close(&counters->kick);
    }
}

void
counters_free(struct counters *counters)
{
    if (counters) {
        counts_free(counters->counts);
        totals_free(counters->totals);
        VEC_DONE(&counters->waiters);
        free(counters);
    }
}
