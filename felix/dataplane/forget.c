/* One run: both families that it is about are dumped, what matches is deleted. Called by
 * addresses.c. */
#include "felix/dataplane/forget.h"

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/netlink/conntrack.h"

LOG_MODULE("floating");

/* Connections to 'external' are to lead to 'now'; family 0: it is nobody's. */
struct move {
    struct ip external, was, now;
};
typedef VEC(struct move) move_vec;
typedef VEC(struct conntrack_tuple) tuple_vec;

struct forget {
    uv_loop_t *loop;
    uv_work_t work;
    floating_pair_vec pairs; /* as they were told last */
    move_vec next;
    bool is_running, is_freed;
    /* The worker's while it runs. */
    move_vec moves;
    tuple_vec found;
    bool is_good;
    struct err err;
};

static void
done(struct forget *forget)
{
    VEC_DONE(&forget->pairs);
    VEC_DONE(&forget->next);
    VEC_DONE(&forget->moves);
    VEC_DONE(&forget->found);
    free(forget);
}

/* ---- on a worker
 * ------------------------------------------------------------------------------------------- */

static bool
is_misled(const struct move *move, const struct conntrack_entry *entry)
{
    if (!ip_equal(&entry->original.destination, &move->external)) {
        return false;
    }
    /* Where nobody has it any more others may translate it: only ours go. */
    return move->now.family != 0 ? !ip_equal(&entry->reply.source, &move->now)
                                 : ip_equal(&entry->reply.source, &move->was);
}

static void
on_entry(void *owner, const struct conntrack_entry *entry)
{
    struct forget *forget = owner;

    VEC_FOREACH (&forget->moves, move) {
        if (entry->zone == 0 && is_misled(move, entry)) {
            VEC_PUSH(&forget->found, entry->original);
            return;
        }
    }
}

static bool
is_about(const struct forget *forget, uint8_t family)
{
    VEC_FOREACH (&forget->moves, move) {
        if (move->external.family == family) {
            return true;
        }
    }
    return false;
}

static bool
find(struct forget *forget, struct conntrack_link *link, uint8_t family, struct err *err)
{
    const struct conntrack_filter filter = {.family = family, .side = CONNTRACK_ALL};
    bool is_end = !is_about(forget, family);

    if (!is_end && !conntrack_dump(link, &filter, err)) {
        return false;
    }
    while (!is_end) {
        if (!conntrack_dump_more(link, on_entry, forget, &is_end, err)) {
            return false;
        }
    }
    return true;
}

static void
on_work(uv_work_t *work)
{
    struct forget *forget = work->data;
    struct conntrack_link *link = NULL;
    size_t n_gone = 0;

    forget->found.n = 0;
    forget->err = (struct err)ERR_INIT;
    forget->is_good =
        conntrack_open(&link, &forget->err) && find(forget, link, 4, &forget->err) &&
        find(forget, link, 6, &forget->err) &&
        conntrack_delete(link, forget->found.items, forget->found.n, &n_gone, &forget->err);
    conntrack_close(link);
}

/* ---- on the loop
 * ------------------------------------------------------------------------------------------- */

static void start(struct forget *forget);

static void
after_work(uv_work_t *work, int status)
{
    struct forget *forget = work->data;

    (void)status;
    forget->is_running = false;
    if (forget->is_freed) {
        done(forget);
        return;
    }
    if (forget->is_good) {
        log_debug("%zu connections to floating addresses led elsewhere", forget->found.n);
        start(forget);
        return;
    }
    log_warn("%s; what is open to floating addresses goes on as it was", forget->err.text);
    VEC_FOREACH (&forget->next, move) {
        VEC_PUSH(&forget->moves, *move);
    }
    VEC_DONE(&forget->next);
    forget->next = forget->moves;
    forget->moves = (move_vec){0};
}

static void
start(struct forget *forget)
{
    if (forget->is_running || forget->next.n == 0) {
        return;
    }
    VEC_DONE(&forget->moves);
    forget->moves = forget->next;
    forget->next = (move_vec){0};
    forget->is_running = true;
    uv_queue_work(forget->loop, &forget->work, on_work, after_work);
}

struct forget *
forget_new(uv_loop_t *loop)
{
    struct forget *forget = NEW(struct forget);

    forget->loop = loop;
    forget->work.data = forget;
    return forget;
}

static const struct ip *
internal_of(const struct floating_pair *pairs, size_t n, const struct ip *external)
{
    static const struct ip nobodys;

    for (size_t i = 0; i < n; i++) {
        if (ip_equal(&pairs[i].external, external)) {
            return &pairs[i].internal;
        }
    }
    return &nobodys;
}

void
forget_follow(struct forget *forget, const struct floating_pair *pairs, size_t n)
{
    const floating_pair_vec *before = &forget->pairs;

    for (size_t i = 0; i < n; i++) {
        const struct ip *was = internal_of(before->items, before->n, &pairs[i].external);
        if (!ip_equal(was, &pairs[i].internal)) {
            VEC_PUSH(&forget->next, (struct move){pairs[i].external, *was, pairs[i].internal});
        }
    }
    VEC_FOREACH (before, pair) {
        if (internal_of(pairs, n, &pair->external)->family == 0) {
            VEC_PUSH(&forget->next,
                     (struct move){.external = pair->external, .was = pair->internal});
        }
    }
    forget->pairs.n = 0;
    for (size_t i = 0; i < n; i++) {
        VEC_PUSH(&forget->pairs, pairs[i]);
    }
    start(forget);
}

void
forget_free(struct forget *forget)
{
    if (!forget) {
        return;
    }
    forget->is_freed = true;
    if (!forget->is_running) {
        done(forget);
    }
}
