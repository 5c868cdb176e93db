/* The rule tables of both families: which backend, what is wanted of them, and what follows when
 * they are in place. Part of felix; called by felix.c. */
#include <stdio.h>
#include <string.h>

#include "felix/parts.h"
#include "lib/base/log.h"

LOG_MODULE("felix");

#define LOCK_PROBE_MS 50 /* the setting's default */

void
tables_configure(struct felix *felix)
{
    struct rules_config *old = felix->rules;

    felix->rules =
        rules_config_new(felix->settings, felix->store, &felix->features, felix->pools.has_tunnel);
    felix->rules->policy.has_ipvs = felix->has_ipvs;
    if (old) {
        policy_marks_follow(&felix->rules->policy.marks, &old->policy.marks,
                            felix->marks_are_carried);
        felix->marks_are_carried = false;
    }
    policies_configure(felix->policies, &felix->rules->fixed);
    policies_set_revoking(felix->policies, felix->settings->revokes_connections);
    if (felix->rules->warning[0] && (!old || strcmp(old->warning, felix->rules->warning) != 0)) {
        log_warn("%s", felix->rules->warning);
    }
    rules_config_free(old);
    felix->rules_dirty = false;
}

uint64_t
tables_busy_ms(const struct felix *felix)
{
    uint64_t longest_ms = 0;

    for (size_t i = 0; i < N_FAMILIES; i++) {
        uint64_t busy_ms = felix->tables[i] ? iptables_busy_ms(felix->tables[i]) : 0;
        longest_ms = busy_ms > longest_ms ? busy_ms : longest_ms;
    }
    return longest_ms;
}

bool
tables_are_in_place(const struct felix *felix)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (felix->tables[i] && !iptables_is_in_place(felix->tables[i])) {
            return false;
        }
    }
    return felix->tables[0] != NULL;
}

bool
tables_are_kept(const struct felix *felix)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (felix->tables[i] && iptables_in_place_revision(felix->tables[i]) == 0) {
            return false;
        }
    }
    return felix->tables[0] && (felix->last_error[0] == '\0' || tables_are_in_place(felix));
}

/* Those that wait for a pod wait for the rules that were wanted with it. */
static void
note_waiting(struct felix *felix)
{
    VEC_FOREACH (&felix->waiting, waiting) {
        if (waiting->is_wanted || !policies_knows_pod(felix->policies, waiting->ifname)) {
            continue;
        }
        waiting->is_wanted = true;
        for (size_t i = 0; i < N_FAMILIES; i++) {
            waiting->revisions[i] =
                felix->tables[i] ? iptables_wanted_revision(felix->tables[i]) : 0;
        }
    }
}

void
tables_want(struct felix *felix)
{
    if (!felix->tables_known || !felix->rules) {
        return;
    }
    policies_want(felix->policies, felix->tables);
    note_waiting(felix);
}

bool
tables_hold(const struct felix *felix, const uint64_t revisions[N_FAMILIES])
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (felix->tables[i] && iptables_in_place_revision(felix->tables[i]) < revisions[i]) {
            return false;
        }
    }
    return felix->tables[0] != NULL;
}

/* What the kernel holds is what was wanted: what nothing refers to any more may go, and open
 * connections are looked at. */
static void
settle(struct felix *felix)
{
    sets_release(felix->sets, !felix->leftovers_known && felix->is_sets_good);
    felix->leftovers_known |= felix->is_sets_good;
    felix->has_doomed_sets = true;
    policies_settled(felix->policies);
    addresses_settled(felix);
    kick(&felix->flush);
}

static void
on_rules(void *owner, const struct iptables_result *result)
{
    struct felix *felix = owner;

    metric_add(felix->m.restore_calls, result->wrote);
    if (felix->tables[1]) {
        iptables_apply(felix->tables[1]); /* it may have waited for IPv4 */
    }
    if (!result->in_place) {
        metric_add(felix->m.restore_errors, 1);
        felix_note_error(felix, &result->err);
        if (result->is_for_a_set) {
            sets_resync(felix->sets); /* before the next try */
            kick(&felix->flush);
        }
    } else {
        felix->n_rules_repaired += result->is_drift;
        felix->rules_changed |= result->wrote || !felix->leftovers_known;
        if (tables_are_in_place(felix) && felix->rules_changed) {
            felix->rules_changed = false;
            settle(felix);
        }
        requests_answer(felix);
        if (felix_is_dataplane_good(felix)) {
            felix->last_error[0] = '\0';
        }
    }
    report_update(felix);
}

static void
on_other_backend(void *owner, const struct iptables_result *result)
{
    (void)owner;
    if (result->in_place && result->wrote) {
        log_info("leftovers of ours in the other iptables backend are removed");
    }
    /* A backend that is not installed has no leftovers. */
}

/* nft takes no lock; later legacy tools say a word about an interval that is not the usual. */
static struct iptables_times
times_of(const struct felix_settings *settings, enum iptables_backend backend)
{
    uint64_t probe_ms = settings->iptables_lock_probe_ms;
    bool is_asked = backend == IPTABLES_LEGACY && probe_ms != LOCK_PROBE_MS;

    return (struct iptables_times){.lock_wait_s = settings->iptables_lock_s,
                                   .lock_probe_ms = is_asked ? (uint32_t)probe_ms : 0,
                                   .post_write_check_ms = settings->iptables_recheck_ms};
}

void
tables_set_times(struct felix *felix)
{
    enum iptables_backend other = felix->backend == IPTABLES_NFT ? IPTABLES_LEGACY : IPTABLES_NFT;
    const struct iptables_times ours = times_of(felix->settings, felix->backend);
    const struct iptables_times others = times_of(felix->settings, other);

    for (size_t i = 0; i < N_FAMILIES; i++) {
        iptables_set_times(felix->tables[i], &ours);
        iptables_set_times(felix->others[i], &others);
    }
}

static void
on_features(void *owner, const struct features *features)
{
    struct felix *felix = owner;

    if (!felix->is_stopping) {
        felix->features = *features;
        felix->tables_known = true;
        felix->rules_dirty = true;
        kick(&felix->flush);
    }
}

static void
on_backend(void *owner, enum iptables_backend backend, const char *why)
{
    struct felix *felix = owner;
    enum iptables_backend other = backend == IPTABLES_NFT ? IPTABLES_LEGACY : IPTABLES_NFT;

    if (felix->is_stopping) {
        return;
    }
    log_info("iptables backend: %s (%s)", backend == IPTABLES_NFT ? "nft" : "legacy", why);
    for (size_t i = 0; i < (felix->settings->ipv6 ? N_FAMILIES : 1); i++) {
        struct iptables_spec spec = {.family = i == 0 ? 4 : 6,
                                     .backend = backend,
                                     .times = times_of(felix->settings, backend),
                                     .settled = on_rules,
                                     .owner = felix};
        felix->tables[i] = iptables_new(felix->loop, &spec);
        if (other == IPTABLES_LEGACY && !backend_legacy_in_use()) {
            continue;
        }
        spec.backend = other;
        spec.times = times_of(felix->settings, other);
        spec.settled = on_other_backend;
        felix->others[i] = iptables_new(felix->loop, &spec);
    }
    felix->backend = backend;
    features_detect(felix->loop, backend, on_features, felix);
}

void
tables_detect(struct felix *felix)
{
    switch (felix->settings->iptables_backend) {
    case FELIX_BACKEND_LEGACY:
        on_backend(felix, IPTABLES_LEGACY, "as set");
        break;
    case FELIX_BACKEND_NFT:
        on_backend(felix, IPTABLES_NFT, "as set");
        break;
    default:
        backend_detect(felix->loop, on_backend, felix);
        break;
    }
}

void
tables_check(struct felix *felix)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (felix->tables[i]) {
            iptables_check(felix->tables[i]);
        }
    }
}

void
tables_on_nft(struct felix *felix, const struct monitor_note *note)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (felix->tables[i]) {
            iptables_on_nft(felix->tables[i], note);
        }
    }
}

/* Leftovers in the other backend go once ours are in place: never a moment without. */
void
tables_clean_other_backend(struct felix *felix)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (felix->others[i] && felix->tables[i] && iptables_is_in_place(felix->tables[i])) {
            iptables_apply(felix->others[i]); /* nothing is wanted there */
        }
    }
}

void
tables_stop(struct felix *felix)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        iptables_stop(felix->tables[i]);
        iptables_stop(felix->others[i]);
    }
}

void
tables_free(struct felix *felix)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        iptables_free(felix->tables[i]);
        iptables_free(felix->others[i]);
    }
    rules_config_free(felix->rules);
}
