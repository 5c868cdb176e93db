/* Watches, decoders and the store, joined. Each kind is a shelf with its own watch; what cannot be
 * decoded is noted per key and asked for again, one GET at a time, with a backoff per key.
 *
 * Lists are mark and sweep: each list has a mark, every object it names gets it, and the end of a
 * complete list removes what has another one. */
#include "lib/feed/feed.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/base/table.h"
#include "lib/feed/keep.h"
#include "lib/json/json.h"
#include "lib/kube/http.h"
#include "lib/kube/watch.h"
#include "lib/metrics/metrics.h"

LOG_MODULE("feed");

#define NAME_LEN_MAX 253
#define GET_DEADLINE_MS 10000
#define FORBIDDEN 403
#define NAMED_MAX 3 /* kinds in one sentence */
#define RBAC_FILE "deploy/canal.yaml"

/* An object whose last version did not decode. */
struct rejected {
    uint64_t due_ms; /* loop time of the next GET */
    unsigned attempt;
    uint32_t mark;
    uint64_t text_hash; /* of the reason last logged */
};

struct shelf {
    struct feed *feed;
    enum kind kind;
    const struct kind_ops *ops;
    struct kube_watch *watch;
    char *path;       /* of the collection */
    uint32_t mark;    /* of the list under way, or the last one */
    bool is_listing;  /* 'mark' is of a list that is not complete */
    bool is_rollback; /* that list is older than what we have, and right */
    bool is_in_sync;
    bool has_nameless;    /* the list has an object that we cannot even name: no sweep */
    uint64_t list_due_ms; /* loop time of a list because of such an object; 0: none */
    unsigned n_nameless;  /* lists on end that had one */
    bool is_absent;
    bool is_forbidden;     /* the last answer was 403 */
    struct str trouble;    /* what was last told, while the first list has not come */
    struct table *rejects; /* key → struct rejected */
    struct table *issues;  /* key → hash of what was last logged about it */
};

struct feed {
    struct kube *kube;
    struct store *store;
    struct shelf *shelves;
    size_t n_shelves;
    void (*in_sync)(void *owner);
    void *owner;
    bool is_in_sync;
    struct str pruned; /* scratch */
    struct str waits;  /* of feed_waits_for() */
    uv_timer_t retry;
    struct shelf *get_shelf; /* of the GET under way; NULL: none */
    char *get_key;
    struct metric *rejected_total, *lists_total, *troubles_total;
};

/* An object as it came: decoded already when it is plain, else before that. */
struct arrival {
    struct json_object *json;
    const struct kind_ops *ops;
    void *object;   /* NULL: 'json' is to be decoded */
    struct str key; /* empty: it cannot be named */
    uint64_t version;
    struct err err; /* why there is no key */
};

static void
count(struct metric *metric, const struct shelf *shelf)
{
    if (metric) {
        metric_add_for(metric, 1, "kind", shelf->ops->name, NULL);
    }
}

/* ---- arrival ------------------------------------------------------------------------------------
 */

static void
arrival_done(struct arrival *arrival)
{
    if (arrival->object) {
        arrival->ops->free(arrival->object);
    }
    json_tree_done(&arrival->json);
    str_done(&arrival->key);
}

static bool
check_name(const char *name, struct err *err)
{
    size_t len = strlen(name);

    /* The key becomes part of a path and of log lines; the decoders are stricter. */
    if (len == 0 || len > NAME_LEN_MAX || strpbrk(name, "/?#%\"'\\") || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0) {
        return err_set(err, "'%.64s' is not a name", name);
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)name[i] <= 0x20 || (unsigned char)name[i] >= 0x7f) {
            return err_set(err, "'%.64s' is not a name", name);
        }
    }
    return true;
}

static bool
add_name(const struct json_at *metadata, const char *field, struct str *key, struct err *err)
{
    const char *name = NULL;

    if (!json_get_string(metadata, field, JSON_REQUIRED, &name, err)) {
        return false;
    }
    if (!check_name(name, err)) {
        return json_wrap(metadata, field, err);
    }
    str_add(key, name);
    return true;
}

static bool
read_key(const struct shelf *shelf, struct json_object *json, struct str *key,
         uint64_t *ret_version, struct err *err)
{
    struct json_at root = json_root(json);
    struct json_at metadata;
    const char *version = NULL;

    if (!json_get_object(&root, "metadata", JSON_REQUIRED, &metadata, err)) {
        return false;
    }
    if (shelf->ops->is_namespaced) {
        if (!add_name(&metadata, "namespace", key, err)) {
            return false;
        }
        str_add_char(key, '/');
    }
    if (!add_name(&metadata, "name", key, err)) {
        return false;
    }
    if (json_get_string(&metadata, "resourceVersion", JSON_OPTIONAL, &version, NULL) && version) {
        *ret_version = kube_version_number(version, strlen(version));
    }
    return true;
}

/* A plain object of a kind that there may be very many of. False: it takes the other way. */
static bool
arrive_plain(const struct shelf *shelf, const char *json, size_t len, struct arrival *arrival)
{
    struct kind_head head;

    arrival->ops = shelf->ops;
    arrival->object = shelf->ops->scan ? shelf->ops->scan(json, len, &head) : NULL;
    if (!arrival->object) {
        return false;
    }
    if (head.ns) {
        str_add(&arrival->key, head.ns);
        str_add_char(&arrival->key, '/');
    }
    str_add(&arrival->key, head.name);
    arrival->version = head.version ? kube_version_number(head.version, head.version_len) : 0;
    return true;
}

/* False: the text is not JSON. */
static bool
arrive(struct shelf *shelf, const char *json, size_t len, struct arrival *ret_arrival,
       struct err *err)
{
    struct str *pruned = &shelf->feed->pruned;

    *ret_arrival = (struct arrival){0};
    if (arrive_plain(shelf, json, len, ret_arrival)) {
        return true;
    }
    str_clear(pruned);
    if (!json_prune(json, len, feed_keep(shelf->kind), pruned, err) ||
        !json_parse(pruned->text, pruned->len, &ret_arrival->json, err)) {
        return false;
    }
    if (!read_key(shelf, ret_arrival->json, &ret_arrival->key, &ret_arrival->version,
                  &ret_arrival->err)) {
        str_clear(&ret_arrival->key);
    }
    return true;
}

/* ---- objects that do not decode -----------------------------------------------------------------
 */

static void arm_retry(struct feed *feed);

static void
reject(struct shelf *shelf, const char *key, uint32_t mark, const struct err *err)
{
    struct feed *feed = shelf->feed;
    struct rejected *rejected = table_get(shelf->rejects, key);
    uint64_t text_hash = hash_bytes(err->text, strlen(err->text));
    bool is_held = store_get(feed->store, shelf->kind, key);

    count(feed->rejected_total, shelf);
    if (!rejected) {
        rejected = NEW(struct rejected);
        table_put(shelf->rejects, key, rejected);
    }
    uint64_t delay_ms = kube_backoff_ms(feed->kube, rejected->attempt++, 0);
    if (rejected->text_hash != text_hash) {
        log_warn("%s %s: %s; rejected, %s", shelf->ops->name, key, err->text,
                 is_held ? "its last good version stays" : "it is left out");
    }
    rejected->text_hash = text_hash;
    rejected->mark = mark;
    rejected->due_ms = uv_now(kube_loop(feed->kube)) + delay_ms;
    arm_retry(feed);
}

static void
forget_reject(struct shelf *shelf, const char *key)
{
    struct rejected *rejected = table_take(shelf->rejects, key);

    if (rejected) {
        log_info("%s %s: is no longer rejected", shelf->ops->name, key);
        free(rejected);
    }
}

static void on_got(void *owner, const struct kube_reply *reply);

static void
list_due(struct feed *feed, uint64_t now_ms)
{
    for (size_t i = 0; i < feed->n_shelves; i++) {
        struct shelf *shelf = &feed->shelves[i];
        if (shelf->list_due_ms > 0 && shelf->list_due_ms <= now_ms) {
            shelf->list_due_ms = 0;
            kube_watch_list(shelf->watch);
        }
    }
}

static void
on_retry(uv_timer_t *timer)
{
    struct feed *feed = timer->data;
    uint64_t now_ms = uv_now(timer->loop);

    list_due(feed, now_ms);
    for (size_t i = 0; i < feed->n_shelves && !feed->get_key; i++) {
        struct shelf *shelf = &feed->shelves[i];
        TABLE_FOREACH (shelf->rejects, entry) {
            const struct rejected *rejected = table_value(entry);
            if (rejected->due_ms <= now_ms) {
                feed->get_shelf = shelf;
                feed->get_key = xstrdup(table_key(entry));
                break;
            }
        }
    }
    if (!feed->get_key) {
        arm_retry(feed);
        return;
    }
    AUTO(str) struct str path = STR_INIT;
    const struct kind_ops *ops = feed->get_shelf->ops;
    char *slash = ops->is_namespaced ? strchr(feed->get_key, '/') : NULL;
    if (ops->group[0] == '\0') {
        str_addf(&path, "/api/%s", ops->version);
    } else {
        str_addf(&path, "/apis/%s/%s", ops->group, ops->version);
    }
    if (slash) {
        str_addf(&path, "/namespaces/%.*s", (int)(slash - feed->get_key), feed->get_key);
    }
    str_addf(&path, "/%s/%s", ops->resource, slash ? slash + 1 : feed->get_key);
    kube_get(feed->kube, path.text, GET_DEADLINE_MS, on_got, feed);
}

/* The timer runs to the nearest due time of all rejected objects and lists. */
static void
arm_retry(struct feed *feed)
{
    uint64_t now_ms = uv_now(kube_loop(feed->kube));
    uint64_t nearest_ms = UINT64_MAX;

    if (feed->get_key) {
        return;
    }
    for (size_t i = 0; i < feed->n_shelves; i++) {
        uint64_t list_due_ms = feed->shelves[i].list_due_ms;
        nearest_ms = list_due_ms > 0 && list_due_ms < nearest_ms ? list_due_ms : nearest_ms;
        TABLE_FOREACH (feed->shelves[i].rejects, entry) {
            const struct rejected *rejected = table_value(entry);
            nearest_ms = rejected->due_ms < nearest_ms ? rejected->due_ms : nearest_ms;
        }
    }
    if (nearest_ms == UINT64_MAX) {
        uv_timer_stop(&feed->retry);
        return;
    }
    uv_timer_start(&feed->retry, on_retry, nearest_ms > now_ms ? nearest_ms - now_ms : 0, 0);
}

/* ---- into the store -----------------------------------------------------------------------------
 */

static void
collect_issue(void *owner, const char *text)
{
    struct str *all = owner;

    if (all->len < 4096) {
        str_addf(all, "%s%s", all->len > 0 ? "; " : "", text);
    }
}

/* What is wrong inside an object that is used all the same: said once, not with every heartbeat. */
static void
log_issues(struct shelf *shelf, const char *key, const struct str *issues)
{
    uintptr_t hash = issues->len > 0 ? (uintptr_t)hash_bytes(issues->text, issues->len) | 1 : 0;
    uintptr_t was = (uintptr_t)table_get(shelf->issues, key);

    if (hash == was) {
        return;
    }
    if (hash == 0) {
        table_take(shelf->issues, key);
        log_info("%s %s: nothing is wrong with it any more", shelf->ops->name, key);
        return;
    }
    union {
        uintptr_t number;
        void *pointer;
    } value = {.number = hash};
    table_put(shelf->issues, key, value.pointer);
    log_warn("%s %s: %s; the rest of it is used", shelf->ops->name, key, str_text(issues));
}

/* NULL with err: it is refused, and what there is of it stays. */
static void *
read_object(struct shelf *shelf, struct arrival *arrival, struct str *issues, struct err *err)
{
    struct kind_issues collector = {.report = collect_issue, .owner = issues};
    const char *key = arrival->key.text;
    void *object = arrival->object;

    arrival->object = NULL;
    if (!object) {
        object = shelf->ops->decode(arrival->json, &collector, err);
    }
    bool has_whole =
        store_get(shelf->feed->store, shelf->kind, key) && !table_get(shelf->issues, key);
    if (object && issues->len > 0 && shelf->ops->is_kept_whole && has_whole) {
        shelf->ops->free(object);
        object = NULL;
        (void)err_set(err, "%.400s", str_text(issues));
    }
    return object;
}

/* Puts an object that was not overtaken; 'mark' is the list it is known from. */
static void
put(struct shelf *shelf, struct arrival *arrival, uint32_t mark)
{
    struct store *store = shelf->feed->store;
    const char *key = arrival->key.text;
    uint64_t held = store_version(store, shelf->kind, key);
    bool has_rejected = table_get(shelf->rejects, key);
    AUTO(str) struct str issues = STR_INIT;
    struct err err = ERR_INIT;

    if (held && arrival->version && !(shelf->is_listing && shelf->is_rollback)) {
        if (arrival->version < held || (arrival->version == held && !has_rejected)) {
            store_stamp(store, shelf->kind, key, held, mark);
            return;
        }
    }
    void *object = read_object(shelf, arrival, &issues, &err);
    if (!object) {
        /* The mark, so that the sweep leaves the last good version. */
        store_stamp(store, shelf->kind, key, held, mark);
        reject(shelf, key, mark, &err);
        return;
    }
    log_issues(shelf, key, &issues);
    store_put(store, shelf->kind, key, object);
    store_stamp(store, shelf->kind, key, arrival->version, mark);
    if (has_rejected) {
        forget_reject(shelf, key);
    }
}

static void
drop(struct shelf *shelf, const char *key)
{
    store_delete(shelf->feed->store, shelf->kind, key);
    forget_reject(shelf, key);
    table_take(shelf->issues, key);
}

static void
on_got(void *owner, const struct kube_reply *reply)
{
    struct feed *feed = owner;
    struct shelf *shelf = feed->get_shelf;
    AUTO_FREE char *key = feed->get_key;
    struct rejected *rejected = key ? table_get(shelf->rejects, key) : NULL;
    struct arrival arrival = {.json = reply->body};

    feed->get_key = NULL;
    feed->get_shelf = NULL;
    if (rejected && reply->status == 200 && reply->body &&
        read_key(shelf, reply->body, &arrival.key, &arrival.version, NULL) &&
        strcmp(str_text(&arrival.key), key) == 0) {
        /* While a list is under way, only the list itself proves what it has. */
        put(shelf, &arrival, shelf->is_listing ? shelf->mark - 1 : shelf->mark);
    } else if (rejected) {
        /* Gone, forbidden or silent: a watch or list says what became of it. */
        rejected->due_ms =
            uv_now(kube_loop(feed->kube)) + kube_backoff_ms(feed->kube, rejected->attempt++, 0);
    }
    str_done(&arrival.key);
    arm_retry(feed);
}

/* ---- what the watch says ------------------------------------------------------------------------
 */

static void
on_list_begin(void *owner, bool is_rollback)
{
    struct shelf *shelf = owner;

    shelf->mark += 2; /* leaves a mark for what is known from elsewhere while this list runs */
    shelf->is_listing = true;
    shelf->is_rollback = is_rollback;
    shelf->has_nameless = false;
    if (is_rollback) {
        log_warn("%s: the API serves an older state than before, and keeps to it; it is believed "
                 "(was etcd restored?)",
                 shelf->ops->name);
    }
}

/* For feed_waits_for(). */
static void
note_trouble(struct shelf *shelf, const char *text)
{
    if (!shelf->is_in_sync) {
        str_clear(&shelf->trouble);
        str_add(&shelf->trouble, text);
    }
}

static void
reject_nameless(struct shelf *shelf, const struct err *err)
{
    note_trouble(shelf, err->text);
    count(shelf->feed->rejected_total, shelf);
    log_warn_every(60, "%s (no name): %s; rejected, nothing is removed before a better list",
                   shelf->ops->name, err->text);
}

/* Nobody can be asked by name for an object without one; only a list shows what it is. */
static void
list_soon(struct shelf *shelf)
{
    struct feed *feed = shelf->feed;

    if (shelf->list_due_ms == 0) {
        shelf->list_due_ms =
            uv_now(kube_loop(feed->kube)) + kube_backoff_ms(feed->kube, shelf->n_nameless++, 0);
        arm_retry(feed);
    }
}

static bool
on_item(void *owner, const char *json, size_t len, struct err *err)
{
    struct shelf *shelf = owner;
    AUTO(arrival) struct arrival arrival;

    if (!arrive(shelf, json, len, &arrival, err)) {
        return false;
    }
    if (arrival.key.len == 0) {
        shelf->has_nameless = true;
        reject_nameless(shelf, &arrival.err);
        return true;
    }
    put(shelf, &arrival, shelf->mark);
    return true;
}

static bool
on_event(void *owner, enum kube_verb verb, const char *json, size_t len, struct err *err)
{
    struct shelf *shelf = owner;
    AUTO(arrival) struct arrival arrival;

    if (!arrive(shelf, json, len, &arrival, err)) {
        return false;
    }
    if (arrival.key.len == 0) {
        reject_nameless(shelf, &arrival.err);
        list_soon(shelf);
        return true;
    }
    if (verb != KUBE_DELETED) {
        put(shelf, &arrival, shelf->mark);
        return true;
    }
    uint64_t held = store_version(shelf->feed->store, shelf->kind, arrival.key.text);
    if (!held || !arrival.version || arrival.version >= held) {
        drop(shelf, arrival.key.text);
    }
    return true;
}

static void
note_in_sync(struct shelf *shelf)
{
    struct feed *feed = shelf->feed;

    shelf->is_in_sync = true;
    str_done(&shelf->trouble);
    for (size_t i = 0; i < feed->n_shelves; i++) {
        if (!feed->shelves[i].is_in_sync) {
            return;
        }
    }
    if (!feed->is_in_sync) {
        feed->is_in_sync = true;
        if (feed->in_sync) {
            feed->in_sync(feed->owner);
        }
    }
}

/* What the list that has just ended did not name is gone. */
static void
sweep(struct shelf *shelf)
{
    struct store *store = shelf->feed->store;
    size_t n_gone = store_sweep(store, shelf->kind, shelf->mark);

    log_debug("%s: listed, %zu objects, %zu gone", shelf->ops->name,
              store_count(store, shelf->kind), n_gone);
    TABLE_FOREACH (shelf->rejects, entry) {
        const struct rejected *rejected = table_value(entry);
        if (rejected->mark != shelf->mark) {
            free(table_take(shelf->rejects, table_key(entry)));
        }
    }
    TABLE_FOREACH (shelf->issues, entry) {
        if (!store_get(store, shelf->kind, table_key(entry))) {
            table_take(shelf->issues, table_key(entry));
        }
    }
}

static void
on_list_end(void *owner)
{
    struct shelf *shelf = owner;

    count(shelf->feed->lists_total, shelf);
    shelf->is_listing = false;
    shelf->is_rollback = false;
    shelf->is_absent = false;
    if (shelf->is_forbidden) {
        log_info("%s: the API allows to list it now", shelf->ops->name);
        shelf->is_forbidden = false;
    }
    if (shelf->has_nameless) {
        list_soon(shelf); /* what is missing may be what closes: not in sync by this one */
        return;
    }
    shelf->n_nameless = 0;
    sweep(shelf);
    note_in_sync(shelf);
}

static void
on_absent(void *owner)
{
    struct shelf *shelf = owner;

    if (!shelf->is_absent) {
        size_t n = store_count(shelf->feed->store, shelf->kind);
        log_warn("%s: the API does not serve %s; %s, asked for again", shelf->ops->name,
                 shelf->path, n > 0 ? "what is known of it stays" : "it counts as empty");
        shelf->is_absent = true;
    }
    note_in_sync(shelf);
}

/* A new version of Canal may read a kind which the ClusterRole of an older one does not name. */
static void
on_forbidden(struct shelf *shelf, const struct err *err)
{
    if (!shelf->is_forbidden) {
        log_error("%s: %s; %s until the ClusterRole of this version is applied (" RBAC_FILE
                  "), asked for again",
                  shelf->ops->name, err->text,
                  shelf->is_in_sync ? "its last state stays" : "this node is left as it is");
    }
    shelf->is_forbidden = true;
}

static void
on_trouble(void *owner, const struct err *err, uint64_t retry_ms)
{
    struct shelf *shelf = owner;

    count(shelf->feed->troubles_total, shelf);
    if (shelf->is_absent) {
        return; /* said once already */
    }
    note_trouble(shelf, err->text);
    if (err->code == FORBIDDEN) {
        on_forbidden(shelf, err);
        return;
    }
    log_warn_every(10, "%s; the last state stays, again in %llu ms", err->text,
                   (unsigned long long)retry_ms);
}

/* ---- life ---------------------------------------------------------------------------------------
 */

static void
shelf_init(struct shelf *shelf, struct feed *feed, const struct feed_spec *spec)
{
    static const struct kube_watch_ops ops = {
        .list_begin = on_list_begin,
        .item = on_item,
        .event = on_event,
        .list_end = on_list_end,
        .absent = on_absent,
        .trouble = on_trouble,
    };
    AUTO(str) struct str path = STR_INIT;

    shelf->feed = feed;
    shelf->kind = spec->kind;
    shelf->ops = kind_ops(spec->kind);
    if (shelf->ops->group[0] == '\0') {
        str_addf(&path, "/api/%s/%s", shelf->ops->version, shelf->ops->resource);
    } else {
        str_addf(&path, "/apis/%s/%s/%s", shelf->ops->group, shelf->ops->version,
                 shelf->ops->resource);
    }
    shelf->path = str_steal(&path);
    shelf->rejects = table_new();
    shelf->issues = table_new();
    shelf->watch = kube_watch_new(feed->kube, shelf->path, spec->field_selector, &ops, shelf);
}

struct feed *
feed_new(struct kube *kube, struct store *store, const struct feed_spec *specs, size_t n_specs,
         void (*in_sync)(void *owner), void *owner)
{
    struct feed *feed = NEW(struct feed);

    feed->kube = kube;
    feed->store = store;
    feed->in_sync = in_sync;
    feed->owner = owner;
    feed->shelves = xcalloc(n_specs, sizeof *feed->shelves);
    feed->n_shelves = n_specs;
    uv_timer_init(kube_loop(kube), &feed->retry);
    feed->retry.data = feed;
    for (size_t i = 0; i < n_specs; i++) {
        shelf_init(&feed->shelves[i], feed, &specs[i]);
    }
    return feed;
}

void
feed_start(struct feed *feed)
{
    for (size_t i = 0; i < feed->n_shelves; i++) {
        kube_watch_start(feed->shelves[i].watch);
    }
}

bool
feed_is_in_sync(const struct feed *feed)
{
    return feed->is_in_sync;
}

/* "Node, Pod, Tier and 5 others"; false when there is none. */
static bool
add_waiting_kinds(const struct feed *feed, bool is_forbidden, struct str *text)
{
    size_t n = 0;

    for (size_t i = 0; i < feed->n_shelves; i++) {
        const struct shelf *shelf = &feed->shelves[i];
        if (shelf->is_in_sync || shelf->is_forbidden != is_forbidden) {
            continue;
        }
        if (n < NAMED_MAX) {
            str_addf(text, "%s%s", n > 0 ? ", " : "", shelf->ops->name);
        }
        n++;
    }
    if (n > NAMED_MAX) {
        str_addf(text, " and %zu others", n - NAMED_MAX);
    }
    return n > 0;
}

static const char *
first_trouble(const struct feed *feed)
{
    for (size_t i = 0; i < feed->n_shelves; i++) {
        const struct shelf *shelf = &feed->shelves[i];
        if (!shelf->is_in_sync && !shelf->is_forbidden && shelf->trouble.len > 0) {
            return shelf->trouble.text;
        }
    }
    return NULL;
}

const char *
feed_waits_for(struct feed *feed)
{
    AUTO(str) struct str forbidden = STR_INIT;
    AUTO(str) struct str pending = STR_INIT;
    const char *trouble = first_trouble(feed);

    str_clear(&feed->waits);
    if (add_waiting_kinds(feed, true, &forbidden)) {
        str_addf(&feed->waits,
                 "the API forbids to list %s; apply the ClusterRole of this version (" RBAC_FILE
                 ")",
                 forbidden.text);
    }
    if (add_waiting_kinds(feed, false, &pending)) {
        str_addf(&feed->waits, "%sthe first complete list of %s has not arrived%s%s",
                 feed->waits.len > 0 ? "; " : "", pending.text, trouble ? ": " : "",
                 trouble ? trouble : "");
    }
    return str_text(&feed->waits);
}

uint64_t
feed_version(const struct feed *feed)
{
    uint64_t smallest = 0;

    for (size_t i = 0; i < feed->n_shelves; i++) {
        const struct shelf *shelf = &feed->shelves[i];
        uint64_t version = kube_watch_version(shelf->watch);
        if (shelf->is_absent) {
            continue;
        }
        if (version == 0 || shelf->is_listing) {
            return 0;
        }
        smallest = smallest == 0 || version < smallest ? version : smallest;
    }
    return smallest;
}

uint64_t
feed_silent_ms(const struct feed *feed)
{
    return kube_silent_ms(feed->kube);
}

void
feed_set_metrics(struct feed *feed, struct metrics *metrics)
{
    feed->rejected_total =
        metrics_define(metrics, METRIC_COUNTER, "canal_objects_rejected_total",
                       "Versions of objects from the API that were refused as malformed.");
    feed->lists_total = metrics_define(metrics, METRIC_COUNTER, "canal_api_lists_total",
                                       "Complete lists of a kind.");
    feed->troubles_total = metrics_define(metrics, METRIC_COUNTER, "canal_api_failures_total",
                                          "Lists and watches that failed and were tried again.");
}

static void
on_closed(uv_handle_t *handle)
{
    struct feed *feed = handle->data;

    free(feed->shelves);
    str_done(&feed->pruned);
    str_done(&feed->waits);
    free(feed->get_key);
    free(feed);
}

void
feed_free(struct feed *feed)
{
    if (!feed) {
        return;
    }
    kube_forget(feed->kube, feed);
    for (size_t i = 0; i < feed->n_shelves; i++) {
        struct shelf *shelf = &feed->shelves[i];
        kube_watch_free(shelf->watch);
        table_free(shelf->rejects, free);
        table_free(shelf->issues, NULL);
        free(shelf->path);
        str_done(&shelf->trouble);
    }
    uv_close((uv_handle_t *)&feed->retry, on_closed);
}
