/* Called by pod.c. The pools of shared values are the state of this room, as there. */
#include "lib/model/pod_asks.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/alloc.h"
#include "lib/base/parse.h"
#include "lib/base/str.h"
#include "lib/json/json.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"
#include "lib/model/quantity.h"
#include "lib/model/share.h"

#define QOS "qos.projectcalico.org/"
#define SOURCES "cni.projectcalico.org/allowedSourcePrefixes"
#define FLOATING "cni.projectcalico.org/floatingIPs"

#define KILO 1000ULL
#define GIGA 1000000000ULL
#define TERA 1000000000000ULL
#define PETA 1000000000000000ULL
#define BURST_DEFAULT (4ULL << 30)
#define PACKET_BURST_DEFAULT 5

static struct share texts, values;

static void
report(struct err *err, const char *key, const struct kind_issues *issues)
{
    (void)err_wrap(err, "annotation %s", key);
    kind_issue(issues, err);
    err_clear(err);
}

/* The text of an annotation, NULL when there is none or an empty one. */
static const char *
text_of(struct json_object *annotations, const char *key)
{
    const char *text = NULL;

    if (!field_value_text(field_member(annotations, key), key, &text, NULL) || !text ||
        text[0] == '\0') {
        return NULL;
    }
    return text;
}

/* ---- lists in a text
 * ------------------------------------------------------------------------------------------- */

typedef bool item_read(const char *text, struct str *list, struct err *err);

static bool
read_source(const char *text, struct str *list, struct err *err)
{
    char canonical[PREFIX_TEXT_MAX];
    struct prefix net;

    if (!prefix_parse_host(text, &net, err)) {
        return false;
    }
    net = prefix_network(&net);
    str_addf(list, "%s%s", list->len > 0 ? "," : "", prefix_format(&net, canonical));
    return true;
}

static bool
read_floating(const char *text, struct str *list, struct err *err)
{
    char canonical[IP_TEXT_MAX];
    struct ip ip;

    if (!ip_parse(text, &ip, err)) {
        return false;
    }
    str_addf(list, "%s%s", list->len > 0 ? "," : "", ip_format(&ip, canonical));
    return true;
}

struct list {
    const char *key;
    const char *what; /* its items are, in messages */
    size_t max;
    item_read *read;
};

static const struct list sources = {SOURCES, "networks", POD_SOURCES_MAX, read_source};
static const struct list floating = {FLOATING, "addresses", POD_FLOATING_MAX, read_floating};

static void
add_items(const struct list *spec, struct json_object *array, struct str *list,
          const struct kind_issues *issues)
{
    struct err err = ERR_INIT;
    size_t n = json_object_array_length(array);

    for (size_t i = 0; i < n; i++) {
        const char *text = NULL;
        if (i == spec->max) {
            (void)err_set(&err, "%zu %s, %zu are taken", n, spec->what, spec->max);
            report(&err, spec->key, issues);
            return;
        }
        if (!field_value_text(json_object_array_get_idx(array, i), "value", &text, &err) || !text ||
            !spec->read(text, list, &err)) {
            report(&err, spec->key, issues);
        }
    }
}

/* A JSON list in a text: NULL, or the canonical one. */
static const char *
read_list(const struct list *spec, struct json_object *annotations,
          const struct kind_issues *issues)
{
    AUTO(str) struct str list = STR_INIT;
    struct json_object *array = NULL;
    struct err err = ERR_INIT;
    const char *text = text_of(annotations, spec->key);

    if (!text) {
        return NULL;
    }
    if (json_parse(text, strlen(text), &array, &err) &&
        (json_object_is_type(array, json_type_array) ||
         err_set(&err, "'%.64s' is not a list", text))) {
        add_items(spec, array, &list, issues);
    } else {
        report(&err, spec->key, issues);
    }
    json_object_put(array);
    return list.len > 0 ? share_text(&texts, list.text) : NULL;
}

size_t
pod_asks_sources(const struct pod_asks *asks, struct prefix ret_nets[POD_SOURCES_MAX])
{
    AUTO_FREE char *copy = xstrdup(asks && asks->sources ? asks->sources : "");
    char *save = NULL;
    size_t n = 0;

    for (char *item = strtok_r(copy, ",", &save); item && n < POD_SOURCES_MAX;
         item = strtok_r(NULL, ",", &save)) {
        n += prefix_parse_host(item, &ret_nets[n], NULL);
    }
    return n;
}

size_t
pod_asks_floating(const struct pod_asks *asks, struct ip ret_ips[POD_FLOATING_MAX])
{
    AUTO_FREE char *copy = xstrdup(asks && asks->floating_ips ? asks->floating_ips : "");
    char *save = NULL;
    size_t n = 0;

    for (char *item = strtok_r(copy, ",", &save); item && n < POD_FLOATING_MAX;
         item = strtok_r(NULL, ",", &save)) {
        n += ip_parse(item, &ret_ips[n], NULL);
    }
    return n;
}

/* ---- limits
 * ------------------------------------------------------------------------------------------- */

static const struct limit {
    const char *ingress, *egress; /* annotations */
    size_t offset;                /* in struct pod_limits */
    uint64_t min, max;
} limits[] = {
    /* The first of two that fill one place has it. */
    {QOS "ingressBandwidth", QOS "egressBandwidth", offsetof(struct pod_limits, bandwidth), KILO,
     PETA},
    {"kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth",
     offsetof(struct pod_limits, bandwidth), KILO, PETA},
    {QOS "ingressBurst", QOS "egressBurst", offsetof(struct pod_limits, burst), KILO,
     BURST_DEFAULT},
    {QOS "ingressPeakrate", QOS "egressPeakrate", offsetof(struct pod_limits, peak_rate),
     KILO + KILO / 100, PETA + PETA / 100},
    {QOS "ingressMinburst", QOS "egressMinburst", offsetof(struct pod_limits, min_burst), KILO,
     100 * KILO *KILO},
    {QOS "ingressPacketRate", QOS "egressPacketRate", offsetof(struct pod_limits, packet_rate), 10,
     TERA},
    {QOS "ingressPacketBurst", QOS "egressPacketBurst", offsetof(struct pod_limits, packet_burst),
     1, 10 * KILO},
    {QOS "ingressMaxConnections", QOS "egressMaxConnections",
     offsetof(struct pod_limits, max_connections), 1, 100 * GIGA},
};

/* Says what is wrong with a value that stands there, and takes it away. */
static void
refuse(uint64_t *value, bool is_refused, const char *name, const char *why,
       const struct kind_issues *issues)
{
    struct err err = ERR_INIT;

    if (*value > 0 && is_refused) {
        *value = 0;
        (void)err_set(&err, "%s", why);
        report(&err, name, issues);
    }
}

/* What means nothing without another value takes nothing else away. */
static void
complete(struct pod_limits *direction, bool is_ingress, const struct kind_issues *issues)
{
    struct pod_limits *l = direction;

#define NAME(what) is_ingress ? QOS "ingress" what : QOS "egress" what
    refuse(&l->burst, l->bandwidth == 0, NAME("Burst"), "there is no bandwidth", issues);
    refuse(&l->peak_rate, l->bandwidth == 0, NAME("Peakrate"), "there is no bandwidth", issues);
    refuse(&l->peak_rate, l->peak_rate <= l->bandwidth, NAME("Peakrate"),
           "it is not above the bandwidth", issues);
    refuse(&l->min_burst, l->peak_rate == 0, NAME("Minburst"), "there is no peak rate", issues);
    refuse(&l->packet_burst, l->packet_rate == 0, NAME("PacketBurst"), "there is no packet rate",
           issues);
#undef NAME
    if (l->bandwidth > 0 && l->burst == 0) {
        l->burst = BURST_DEFAULT;
    }
    if (l->packet_rate > 0 && l->packet_burst == 0) {
        l->packet_burst = PACKET_BURST_DEFAULT;
    }
}

static void
read_limits(struct pod_asks *asks, struct json_object *annotations,
            const struct kind_issues *issues)
{
    struct pod_limits *const directions[] = {&asks->ingress, &asks->egress};

    for (size_t i = 0; i < 2 * ARRAY_LEN(limits); i++) {
        const struct limit *limit = &limits[i / 2];
        const char *key = i % 2 == 0 ? limit->ingress : limit->egress;
        uint64_t *place = (uint64_t *)(void *)((char *)directions[i % 2] + limit->offset);
        const char *text = text_of(annotations, key);
        struct err err = ERR_INIT;
        if (text && *place == 0 && !quantity_parse(text, limit->min, limit->max, place, &err)) {
            report(&err, key, issues);
        }
    }
    complete(&asks->ingress, true, issues);
    complete(&asks->egress, false, issues);
}

/* ---- DSCP
 * ------------------------------------------------------------------------------------------- */

static const struct dscp_name {
    const char *name;
    uint8_t value;
} dscp_names[] = {
    {"DF", 0},    {"BE", 0},    {"CS0", 0},   {"LE", 1},    {"CS1", 8},
    {"AF11", 10}, {"AF12", 12}, {"AF13", 14}, {"CS2", 16},  {"AF21", 18},
    {"AF22", 20}, {"AF23", 22}, {"CS3", 24},  {"AF31", 26}, {"AF32", 28},
    {"AF33", 30}, {"CS4", 32},  {"AF41", 34}, {"AF42", 36}, {"AF43", 38},
    {"CS5", 40},  {"VA", 44},   {"EF", 46},   {"CS6", 48},  {"CS7", 56},
};

static bool
dscp_parse(const char *text, uint8_t *ret_dscp)
{
    uint32_t number = 0;

    for (size_t i = 0; i < ARRAY_LEN(dscp_names); i++) {
        if (strcasecmp(text, dscp_names[i].name) == 0) {
            *ret_dscp = dscp_names[i].value;
            return true;
        }
    }
    if (!parse_u32(text, 0, 63, &number, NULL)) {
        return false;
    }
    *ret_dscp = (uint8_t)number;
    return true;
}

uint8_t
dscp_decode(struct json_object *annotations, const struct kind_issues *issues)
{
    const char *text = text_of(annotations, QOS "dscp");
    struct err err = ERR_INIT;
    uint8_t dscp = 0;

    if (!text) {
        return 0;
    }
    if (!dscp_parse(text, &dscp)) {
        (void)err_set(&err, "'%.64s' is neither 0-63 nor a name such as EF or AF41", text);
        report(&err, QOS "dscp", issues);
        return 0;
    }
    return dscp + 1;
}

const struct pod_asks *
pod_asks_take(struct json_object *annotations, const struct kind_issues *issues)
{
    static const struct pod_asks nothing;
    struct pod_asks asks = {0};
    bool is_new;

    if (!annotations) {
        return NULL;
    }
    asks.sources = read_list(&sources, annotations, issues);
    asks.floating_ips = read_list(&floating, annotations, issues);
    read_limits(&asks, annotations, issues);
    asks.dscp = dscp_decode(annotations, issues);
    if (memcmp(&asks, &nothing, sizeof asks) == 0) {
        return NULL;
    }
    /* Each reference to the value is one to its texts. The bytes have no padding, and stand alone:
     * that is what the pool compares. */
    return share_take(&values, 0, &asks, sizeof asks, &is_new);
}

void
pod_asks_drop(const struct pod_asks *asks)
{
    if (asks) {
        share_drop(&texts, asks->sources);
        share_drop(&texts, asks->floating_ips);
        share_drop(&values, asks);
    }
}
