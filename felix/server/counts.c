/* Lines "[packets:bytes] -A chain ..." → counters by rule. Called by felix/server/counters.c. */
#include "felix/server/counts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/table.h"

#define NFLOG_OPTION " --nflog-prefix "

typedef VEC(struct count) count_list;

struct counts {
    struct table *chains;  /* family digit + name -> count_list, rule by rule */
    struct table *denials; /* family digit + tag -> struct count */
};

struct counts *
counts_new(void)
{
    struct counts *counts = NEW(struct counts);

    counts->chains = table_new();
    counts->denials = table_new();
    return counts;
}

static void
list_free(void *value)
{
    count_list *list = value;

    VEC_DONE(list);
    free(list);
}

void
counts_free(struct counts *counts)
{
    if (counts) {
        table_free(counts->chains, list_free);
        table_free(counts->denials, free);
        free(counts);
    }
}

static void
add(struct count *to, const struct count *count)
{
    to->packets += count->packets;
    to->bytes += count->bytes;
}

/* ---- reading
 * ---------------------------------------------------------------------------------- */

struct line {
    struct count count;
    char chain[CHAIN_NAME_MAX];
    const char *rule; /* what stands behind the chain's name */
    size_t len;
};

/* strtoull() takes signs and blanks, the kernel prints none. */
static bool
take_number(const char **at, char end, uint64_t *ret_number)
{
    char *stop = NULL;

    if (**at < '0' || **at > '9') {
        return false;
    }
    *ret_number = strtoull(*at, &stop, 10);
    if (*stop != end) {
        return false;
    }
    *at = stop + 1;
    return true;
}

static bool
parse_line(const char *text, size_t len, struct line *ret_line)
{
    const char *at = text + 1;
    struct line line;

    if (len < 8 || text[0] != '[' || !take_number(&at, ':', &line.count.packets) ||
        !take_number(&at, ']', &line.count.bytes) || strncmp(at, " -A ", 4) != 0) {
        return false;
    }
    at += 4;
    size_t name_len = strcspn(at, " \n");
    if (name_len == 0 || name_len >= sizeof line.chain || at + name_len > text + len) {
        return false;
    }
    memcpy(line.chain, at, name_len);
    line.chain[name_len] = '\0';
    line.rule = at + name_len;
    line.len = (size_t)(text + len - line.rule);
    *ret_line = line;
    return true;
}

/* The tag of an NFLOG rule of ours, which iptables-save may have quoted. */
static bool
find_tag(const struct line *line, char ret_tag[DROP_TAG_MAX])
{
    const char *option = memmem(line->rule, line->len, NFLOG_OPTION, strlen(NFLOG_OPTION));
    struct drop_tag tag;

    if (!option) {
        return false;
    }
    const char *value = option + strlen(NFLOG_OPTION);
    value += *value == '"';
    size_t len = strcspn(value, "\" \n");
    if (len >= DROP_TAG_MAX) {
        return false;
    }
    memcpy(ret_tag, value, len);
    ret_tag[len] = '\0';
    return drop_tag_parse(ret_tag, &tag);
}

/* Policy chains may stand in several tables with the same rules. */
static void
count_policy_rule(struct counts *counts, uint8_t family, const struct line *line, size_t index)
{
    char key[CHAIN_NAME_MAX + 8];

    snprintf(key, sizeof key, "%u%s", family, line->chain);
    count_list *list = table_get(counts->chains, key);
    if (!list) {
        list = NEW(count_list);
        table_put(counts->chains, key, list);
    }
    if (index < list->n) {
        add(&list->items[index], &line->count);
    } else {
        VEC_PUSH(list, line->count);
    }
}

static void
count_denial(struct counts *counts, uint8_t family, const char *tag, const struct count *count)
{
    char key[DROP_TAG_MAX + 8];

    snprintf(key, sizeof key, "%u%s", family, tag);
    struct count *all = table_get(counts->denials, key);
    if (!all) {
        all = NEW(struct count);
        table_put(counts->denials, key, all);
    }
    add(all, count);
}

void
counts_read(struct counts *counts, uint8_t family, const char *saved)
{
    char chain[CHAIN_NAME_MAX] = "", tag[DROP_TAG_MAX] = "";
    size_t index = 0;

    for (const char *at = saved; *at != '\0';) {
        size_t len = strcspn(at, "\n");
        struct line line;
        if (*at == '*') {
            chain[0] = '\0'; /* another table */
        } else if (parse_line(at, len, &line)) {
            bool is_next = strcmp(chain, line.chain) == 0;
            index = is_next ? index + 1 : 0;
            memcpy(chain, line.chain, sizeof chain);
            /* In chains of policies comments come from outside: no tags are looked for there. */
            if (strncmp(chain, "cali-pi-", 8) == 0 || strncmp(chain, "cali-po-", 8) == 0) {
                count_policy_rule(counts, family, &line, index);
                tag[0] = '\0';
            } else if (strncmp(chain, "cali-", 5) == 0) {
                if (is_next && tag[0] != '\0') {
                    count_denial(counts, family, tag, &line.count);
                }
                if (!find_tag(&line, tag)) {
                    tag[0] = '\0';
                }
            }
        }
        at += len + (at[len] == '\n');
    }
}

/* ---- totals
 * ----------------------------------------------------------------------------------- */

struct policy_total {
    uint64_t revision;
    count_vec owners[2][N_DIRECTIONS]; /* of kernel rules, of both families: policy rules */
    count_list last[2][N_DIRECTIONS];  /* by kernel rule */
    count_list all[N_DIRECTIONS];      /* by policy rule */
};

struct totals {
    struct table *policies; /* id -> struct policy_total */
    struct table *last;     /* family digit + tag -> struct count */
    struct table *denials;  /* reason, direction, tier -> struct denial */
};

struct totals *
totals_new(void)
{
    struct totals *totals = NEW(struct totals);

    totals->policies = table_new();
    totals->last = table_new();
    totals->denials = table_new();
    return totals;
}

static void
policy_total_free(void *value)
{
    struct policy_total *total = value;

    for (int direction = 0; total && direction < N_DIRECTIONS; direction++) {
        VEC_DONE(&total->last[0][direction]);
        VEC_DONE(&total->last[1][direction]);
        VEC_DONE(&total->owners[0][direction]);
        VEC_DONE(&total->owners[1][direction]);
        VEC_DONE(&total->all[direction]);
    }
    free(total);
}

void
totals_free(struct totals *totals)
{
    if (totals) {
        table_free(totals->policies, policy_total_free);
        table_free(totals->last, free);
        table_free(totals->denials, free);
        free(totals);
    }
}

/* What was added since 'last'; a counter that is smaller began anew. */
static struct count
difference(const struct count *last, const struct count *now)
{
    if (now->packets < last->packets || now->bytes < last->bytes) {
        return *now;
    }
    return (struct count){now->packets - last->packets, now->bytes - last->bytes};
}

struct adding {
    struct totals *totals;
    const struct counts *counts;
    const struct policy_rules_config *config;
    struct table *policies; /* those that are still there */
};

/* Which rule counts what is rendered once, and again when the settings of rendering changed. */
static bool
has_shape(const struct adding *adding, const struct active_policy *policy, enum direction direction,
          size_t family_index, struct policy_total *total, size_t n)
{
    count_vec *owners = &total->owners[family_index][direction];

    if (owners->n != n || n == 0) {
        owners->n = 0;
        total->last[family_index][direction].n = 0; /* another chain: it counts from zero */
        policy_chain_counts(adding->config, family_index == 0 ? 4 : 6, policy, direction, owners);
    }
    return owners->n == n;
}

static void
add_chain(const struct adding *adding, const struct active_policy *policy, enum direction direction,
          size_t family_index, struct policy_total *total)
{
    char name[CHAIN_NAME_MAX], key[CHAIN_NAME_MAX + 8];
    count_list *last = &total->last[family_index][direction];
    const count_vec *owners = &total->owners[family_index][direction];

    snprintf(key, sizeof key, "%d%s", family_index == 0 ? 4 : 6,
             policy_chain_name(policy, direction, name));
    const count_list *now = table_get(adding->counts->chains, key);
    /* A chain of another shape is one that was not written yet, or written by somebody else. */
    if (!now || !has_shape(adding, policy, direction, family_index, total, now->n)) {
        return;
    }
    while (last->n < now->n) {
        VEC_PUSH(last, (struct count){0});
    }
    for (size_t i = 0; i < now->n; i++) {
        struct count more = difference(&last->items[i], &now->items[i]);
        last->items[i] = now->items[i];
        if (owners->items[i] >= 0 && (size_t)owners->items[i] < total->all[direction].n) {
            add(&total->all[direction].items[owners->items[i]], &more);
        }
    }
}

static struct policy_total *
new_total(const struct active_policy *policy, uint64_t revision)
{
    const size_t n[] = {[INGRESS] = policy->policy->n_ingress, [EGRESS] = policy->policy->n_egress};
    struct policy_total *total = NEW(struct policy_total);

    total->revision = revision;
    for (int direction = 0; direction < N_DIRECTIONS; direction++) {
        for (size_t i = 0; i < n[direction]; i++) {
            VEC_PUSH(&total->all[direction], (struct count){0});
        }
    }
    return total;
}

static void
add_policy(void *owner, const struct active_policy *policy, uint64_t revision)
{
    struct adding *adding = owner;
    struct policy_total *total = table_take(adding->totals->policies, policy->id);

    if (!total || total->revision != revision) {
        policy_total_free(total);
        total = new_total(policy, revision);
    }
    for (enum direction direction = INGRESS; direction <= EGRESS; direction++) {
        add_chain(adding, policy, direction, 0, total);
        add_chain(adding, policy, direction, 1, total);
    }
    table_put(adding->policies, policy->id, total);
}

static void
add_denial(const struct adding *adding, const struct in_force *in_force, const struct drop_tag *tag,
           const struct count *more)
{
    const struct verdict_list *list = in_force_get_list(in_force, tag->id);
    struct denial denial = {.reason = tag->reason, .direction = tag->direction};
    AUTO(str) struct str key = STR_INIT;

    if (tag->reason == DROP_BY_TIER && list && tag->index < list->n_tiers) {
        snprintf(denial.tier, sizeof denial.tier, "%s", list->tiers[tag->index].name);
    }
    str_addf(&key, "%d %d %s", denial.reason, denial.direction, denial.tier);
    struct denial *all = table_get(adding->totals->denials, key.text);
    if (!all) {
        all = NEW(struct denial);
        *all = denial;
        table_put(adding->totals->denials, key.text, all);
    }
    add(&all->count, more);
}

static void
add_denials(const struct adding *adding, const struct in_force *in_force)
{
    static const struct count zero = {0};
    struct table *last = table_new();

    TABLE_FOREACH (adding->counts->denials, entry) {
        const struct count *now = table_value(entry);
        const struct count *before = table_get(adding->totals->last, table_key(entry));
        struct count more = difference(before ? before : &zero, now);
        struct drop_tag tag;
        table_put(last, table_key(entry), xmemdup(now, sizeof *now));
        if (more.packets > 0 && drop_tag_parse(table_key(entry) + 1, &tag)) {
            add_denial(adding, in_force, &tag, &more);
        }
    }
    table_free(adding->totals->last, free);
    adding->totals->last = last;
}

void
totals_add(struct totals *totals, const struct counts *counts, const struct in_force *in_force,
           const struct policy_rules_config *config)
{
    struct adding adding = {totals, counts, config, table_new()};

    in_force_each_policy(in_force, add_policy, &adding);
    table_free(totals->policies, policy_total_free); /* those that are gone */
    totals->policies = adding.policies;
    add_denials(&adding, in_force);
}

struct count
totals_of_rule(const struct totals *totals, const struct active_policy *policy,
               enum direction direction, size_t rule)
{
    const struct policy_total *total = table_get(totals->policies, policy->id);

    if (!total || rule >= total->all[direction].n) {
        return (struct count){0};
    }
    return total->all[direction].items[rule];
}

void
totals_each_denial(const struct totals *totals,
                   void (*each)(void *owner, const struct denial *denial), void *owner)
{
    TABLE_FOREACH (totals->denials, entry) {
        each(owner, table_value(entry));
    }
}
