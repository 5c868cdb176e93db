/* NFLOG packet → JSON line. Fed by lib/netlink/nflog, asked by felix/people.c. */
#include "felix/server/drops.h"

#include <json-c/json.h>
#include <net/if.h>
#include <stdio.h>

#include "felix/server/describe.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "lib/proto/proto.h"

LOG_MODULE("drops");

#define RECENT_MAX 256
#define FOLLOWERS_MAX 16
#define TOLD_PER_SECOND 100
#define LOGGED_PER_SECOND 10
/* So many label sets the metric by pod has; the rest is one. */
#define SERIES_MAX 1000

/* So many of a kind in each second. */
struct budget {
    uint64_t second;
    uint32_t n;
    uint64_t n_held; /* since the last that passed */
};

struct drops {
    struct drops_spec spec;
    struct nflog *nflog;
    unsigned group;
    char *recent[RECENT_MAX];
    size_t n_recent; /* all that ever were there */
    VEC(uint64_t) followers;
    struct budget telling, logging;
    uint64_t n_seen, n_bad;
    uint64_t n_overruns; /* of listeners that are closed */
    struct table *series;
    struct metric *seen, *held, *overruns, *bad;
};

static bool
budget_pass(struct budget *budget, uint32_t max)
{
    uint64_t second = clock_monotonic_ms() / 1000;

    if (budget->second != second) {
        budget->second = second;
        budget->n = 0;
    }
    if (budget->n >= max) {
        budget->n_held++;
        return false;
    }
    budget->n++;
    return true;
}

/* ---- a line
 * ----------------------------------------------------------------------------------- */

/* What is known of a drop beside its packet. */
struct drop {
    const struct nflog_packet *packet;
    struct drop_tag tag;
    const struct active_policy *policy; /* DROP_BY_RULE, while it is in force */
    const char *tier;                   /* NULL: not known */
    char *from_pod, *to_pod;
    bool is_from_local, is_to_local;
};

static void
put(struct json_object *json, const char *key, const char *text)
{
    json_object_object_add(json, key, json_object_new_string(text));
}

static void
put_end(struct json_object *json, const char *key, const struct ip *ip, int port, const char *pod)
{
    struct json_object *end = json_object_new_object();
    char text[IP_TEXT_MAX];

    put(end, "ip", ip_format(ip, text));
    if (port >= 0) {
        json_object_object_add(end, "port", json_object_new_int(port));
    }
    if (pod) {
        put(end, "pod", pod);
    }
    json_object_object_add(json, key, end);
}

static void
put_interface(struct json_object *json, const char *key, uint32_t index)
{
    char name[IF_NAMESIZE];

    if (index > 0 && if_indextoname(index, name)) {
        put(json, key, name);
    }
}

static void
put_denier(const struct drops *drops, const struct drop *drop, struct json_object *json)
{
    AUTO(str) struct str by = STR_INIT;
    AUTO(str) struct str policy = STR_INIT;

    in_force_describe(drops->spec.in_force, &drop->tag, &by);
    put(json, "direction", describe_direction(drop->tag.direction));
    put(json, "reason", describe_reason(drop->tag.reason));
    put(json, "by", str_text(&by));
    if (drop->tier) {
        put(json, "tier", drop->tier);
    }
    if (drop->policy) {
        describe_policy(drop->policy->policy, &policy);
        put(json, "policy", policy.text);
    }
    if (drop->tag.reason == DROP_BY_RULE) {
        json_object_object_add(json, "rule", json_object_new_int64(drop->tag.index));
    }
}

static struct json_object *
line_of(const struct drops *drops, const struct drop *drop)
{
    const struct packet_headers *headers = &drop->packet->headers;
    struct json_object *json = json_object_new_object();
    char now[32], number[4];

    clock_rfc3339(now, sizeof now);
    put(json, "time", now);
    put_denier(drops, drop, json);
    put(json, "protocol", proto_protocol_name(headers->protocol, number));
    put_end(json, "from", &headers->source, headers->has_ports ? headers->source_port : -1,
            drop->from_pod);
    put_end(json, "to", &headers->destination, headers->has_ports ? headers->destination_port : -1,
            drop->to_pod);
    if (headers->has_icmp) {
        json_object_object_add(json, "icmp_type", json_object_new_int(headers->icmp_type));
        json_object_object_add(json, "icmp_code", json_object_new_int(headers->icmp_code));
    }
    put_interface(json, "in", drop->packet->in_index);
    put_interface(json, "out", drop->packet->out_index);
    json_object_object_add(json, "length", json_object_new_int64(headers->length));
    return json;
}

/* ---- telling
 * ---------------------------------------------------------------------------------- */

static void
remember(struct drops *drops, const char *line)
{
    char **slot = &drops->recent[drops->n_recent++ % RECENT_MAX];

    free(*slot);
    *slot = xstrdup(line);
}

static void
tell(struct drops *drops, const struct drop *drop)
{
    struct json_object *json = line_of(drops, drop);
    const char *line = json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE);

    remember(drops, line);
    VEC_FOREACH (&drops->followers, client) {
        drops->spec.send(drops->spec.owner, *client, line, strlen(line));
    }
    if (log_enabled(LOG_INFO, log_module_name) && budget_pass(&drops->logging, LOGGED_PER_SECOND)) {
        log_write_object(LOG_INFO, log_module_name, "denied", "drop", line);
        if (drops->logging.n_held > 0) {
            log_info("%llu denied packets before this one were not logged",
                     (unsigned long long)drops->logging.n_held);
            drops->logging.n_held = 0;
        }
    }
    json_object_put(json);
}

/* The pod whose policy it was, if it is one of ours. */
static const char *
subject_of(const struct drop *drop)
{
    const char *pod = drop->tag.direction == INGRESS ? drop->to_pod : drop->from_pod;
    bool is_local = drop->tag.direction == INGRESS ? drop->is_to_local : drop->is_from_local;

    return pod && is_local ? pod : "";
}

static void
count(struct drops *drops, const struct drop *drop)
{
    AUTO(str) struct str policy = STR_INIT;
    AUTO(str) struct str key = STR_INIT;
    const char *pod = subject_of(drop), *direction = describe_direction(drop->tag.direction);
    const char *reason = describe_reason(drop->tag.reason);
    char rule[24] = "";

    if (drop->policy) {
        describe_policy(drop->policy->policy, &policy);
        snprintf(rule, sizeof rule, "%u", drop->tag.index);
    }
    str_addf(&key, "%s %s %s %s %s", str_text(&policy), rule, direction, reason, pod);
    if (!table_get(drops->series, key.text)) {
        if (table_count(drops->series) >= SERIES_MAX) {
            metric_add_for(drops->seen, 1, "policy", "(others)", NULL);
            return;
        }
        table_put(drops->series, key.text, drops);
    }
    metric_add_for(drops->seen, 1, "policy", str_text(&policy), "rule", rule, "direction",
                   direction, "reason", reason, "pod", pod, NULL);
}

static char *
pod_of(const struct drops *drops, const struct ip *ip, bool *ret_is_local)
{
    const char *pod = drops->spec.pod_of(drops->spec.owner, ip, ret_is_local);

    return pod ? xstrdup(pod) : NULL;
}

static void
find_names(const struct drops *drops, struct drop *drop)
{
    const struct packet_headers *headers = &drop->packet->headers;
    const struct drop_tag *tag = &drop->tag;
    const struct verdict_list *list = NULL;

    if (tag->reason == DROP_BY_RULE) {
        drop->policy = in_force_get_policy(drops->spec.in_force, tag->id);
        drop->tier = drop->policy ? drop->policy->policy->tier : NULL;
    } else if (tag->reason == DROP_BY_TIER) {
        list = in_force_get_list(drops->spec.in_force, tag->id);
        drop->tier = list && tag->index < list->n_tiers ? list->tiers[tag->index].name : NULL;
    }
    drop->from_pod = pod_of(drops, &headers->source, &drop->is_from_local);
    drop->to_pod = pod_of(drops, &headers->destination, &drop->is_to_local);
}

void
drops_take(struct drops *drops, const struct nflog_packet *packet)
{
    struct drop drop = {.packet = packet};

    if (!drop_tag_parse(packet->prefix, &drop.tag)) {
        drops->n_bad++;
        return;
    }
    drops->n_seen++;
    if (!budget_pass(&drops->telling, TOLD_PER_SECOND)) {
        metric_add(drops->held, 1);
        return;
    }
    find_names(drops, &drop);
    count(drops, &drop);
    tell(drops, &drop);
    free(drop.from_pod);
    free(drop.to_pod);
}

static void
on_packet(void *owner, const struct nflog_packet *packet)
{
    drops_take(owner, packet);
}

/* ---- asked
 * ------------------------------------------------------------------------------------ */

bool
drops_follow(struct drops *drops, uint64_t client)
{
    if (drops->followers.n >= FOLLOWERS_MAX) {
        return false;
    }
    drops_unfollow(drops, client); /* who asks twice is told once */
    VEC_PUSH(&drops->followers, client);
    return true;
}

void
drops_unfollow(struct drops *drops, uint64_t client)
{
    for (size_t i = 0; i < drops->followers.n; i++) {
        if (drops->followers.items[i] == client) {
            VEC_REMOVE_SWAP(&drops->followers, i);
            return;
        }
    }
}

void
drops_write_recent(const struct drops *drops, struct str *out)
{
    size_t n = drops->n_recent < RECENT_MAX ? drops->n_recent : RECENT_MAX;

    str_add_char(out, '[');
    for (size_t i = drops->n_recent - n; i < drops->n_recent; i++) {
        str_addf(out, "%s%s", i > drops->n_recent - n ? "," : "", drops->recent[i % RECENT_MAX]);
    }
    str_add_char(out, ']');
}

uint64_t
drops_n_seen(const struct drops *drops)
{
    return drops->n_seen;
}

/* ---- life
 * ------------------------------------------------------------------------------------- */

static void
on_collect(void *owner)
{
    struct drops *drops = owner;
    uint64_t overruns = drops->n_overruns, bad = drops->n_bad;

    if (drops->nflog) {
        overruns += nflog_n_overruns(drops->nflog);
        bad += nflog_n_bad(drops->nflog);
    }
    metric_set(drops->overruns, (double)overruns);
    metric_set(drops->bad, (double)bad);
}

struct drops *
drops_new(const struct drops_spec *spec)
{
    struct drops *drops = NEW(struct drops);
    struct metrics *all = spec->metrics;

    drops->spec = *spec;
    drops->series = table_new();
    drops->seen = metrics_define(all, METRIC_COUNTER, "canal_drops_seen_total",
                                 "Denied packets that NFLOG told of, at its limited rate.");
    drops->held = metrics_define(all, METRIC_COUNTER, "canal_drops_held_back_total",
                                 "Those of them that were too many to be told on.");
    drops->overruns = metrics_define(all, METRIC_COUNTER, "canal_drops_overruns_total",
                                     "Times the kernel had no room to tell of denied packets.");
    drops->bad = metrics_define(all, METRIC_COUNTER, "canal_drops_not_understood_total",
                                "Packets of the NFLOG group that no rule of ours told of.");
    metrics_on_collect(all, on_collect, drops);
    return drops;
}

static void
close_listener(struct drops *drops)
{
    if (drops->nflog) {
        drops->n_overruns += nflog_n_overruns(drops->nflog);
        drops->n_bad += nflog_n_bad(drops->nflog);
        nflog_close(drops->nflog);
        drops->nflog = NULL;
    }
}

bool
drops_listen(struct drops *drops, unsigned group, struct err *err)
{
    const struct nflog_spec spec = {.group = (uint16_t)group, .packet = on_packet, .owner = drops};

    if (group == drops->group && (drops->nflog || group == 0)) {
        return true;
    }
    close_listener(drops);
    drops->group = group;
    return group == 0 || nflog_open(drops->spec.loop, &spec, &drops->nflog, err);
}

void
drops_stop(struct drops *drops)
{
    if (drops) {
        close_listener(drops);
        drops->followers.n = 0;
    }
}

void
drops_free(struct drops *drops)
{
    if (drops) {
        for (size_t i = 0; i < RECENT_MAX; i++) {
            free(drops->recent[i]);
        }
        VEC_DONE(&drops->followers);
        table_free(drops->series, NULL);
        free(drops);
    }
}
