/* Called by felix.c. */
#include "felix/dataplane/shaping.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/table.h"

#define IFB_PREFIX "bw-"
#define IFNAME_MAX 15
#define LINK_HEADER 18         /* Ethernet with a tag */
#define QUEUE_MIN (256 * 1024) /* a few packets as large as offloads make them */
#define QUEUE_PER_SECOND 10    /* part of a second's bytes that may wait */
#define QUEUE_MAX (64U << 20)

struct shaped {
    struct shaping_wish wish;
    bool is_wanted;
    bool is_dirty;
};

struct shaping {
    struct netlink *netlink;
    struct table *by_ifname; /* struct shaped */
    bool must_read;
    bool must_write;
};

struct shaping *
shaping_new(struct netlink *netlink)
{
    struct shaping *shaping = NEW(struct shaping);

    shaping->netlink = netlink;
    shaping->by_ifname = table_new();
    shaping->must_read = true;
    return shaping;
}

void
shaping_free(struct shaping *shaping)
{
    if (shaping) {
        table_free(shaping->by_ifname, free);
        free(shaping);
    }
}

/* ---- wishes -------------------------------------------------------------------------------------
 */

static void
make_dirty(struct shaping *shaping, struct shaped *shaped)
{
    shaped->is_dirty = true;
    shaping->must_write = true;
}

static struct shaped *
shaped_of(struct shaping *shaping, const char *ifname)
{
    struct shaped *shaped = table_get(shaping->by_ifname, ifname);

    if (!shaped) {
        shaped = NEW(struct shaped);
        snprintf(shaped->wish.ifname, sizeof shaped->wish.ifname, "%s", ifname);
        table_put(shaping->by_ifname, ifname, shaped);
    }
    return shaped;
}

static bool
shape_equal(const struct shape *one, const struct shape *other)
{
    return one->rate == other->rate && one->burst == other->burst &&
           one->peak_rate == other->peak_rate && one->min_burst == other->min_burst;
}

void
shaping_want(struct shaping *shaping, const struct shaping_wish *wishes, size_t n)
{
    TABLE_FOREACH (shaping->by_ifname, entry) {
        struct shaped *shaped = table_value(entry);
        shaped->is_wanted = false;
    }
    for (size_t i = 0; i < n; i++) {
        struct shaped *shaped = shaped_of(shaping, wishes[i].ifname);
        if (!shape_equal(&shaped->wish.ingress, &wishes[i].ingress) ||
            !shape_equal(&shaped->wish.egress, &wishes[i].egress)) {
            make_dirty(shaping, shaped);
        }
        shaped->wish = wishes[i];
        shaped->is_wanted = true;
    }
    TABLE_FOREACH (shaping->by_ifname, entry) {
        struct shaped *shaped = table_value(entry);
        if (!shaped->is_wanted) {
            shaped->wish.ingress = shaped->wish.egress = (struct shape){0};
            make_dirty(shaping, shaped);
        }
    }
}

void
shaping_on_link(struct shaping *shaping, const char *ifname)
{
    struct shaped *shaped = table_get(shaping->by_ifname, ifname);

    if (shaped && !shaped->is_dirty) {
        /* Made anew, or a flag changed: which, reading tells. */
        shaping->must_read = true;
    }
}

void
shaping_recheck(struct shaping *shaping)
{
    shaping->must_read |= table_count(shaping->by_ifname) > 0;
}

/* ---- reading ------------------------------------------------------------------------------------
 */

static const char *
ifb_name(const char *ifname, char ret_name[LINK_NAME_MAX])
{
    size_t len = strlen(ifname);
    size_t keep = IFNAME_MAX - strlen(IFB_PREFIX);

    snprintf(ret_name, LINK_NAME_MAX, IFB_PREFIX "%s", ifname + (len > keep ? len - keep : 0));
    return ret_name;
}

struct actual {
    link_vec links;
    qdisc_vec qdiscs;
    struct table *by_name; /* struct link */
    struct table *buckets; /* index → struct qdisc: ours */
};

static bool
actual_read(struct netlink *netlink, struct actual *actual, struct err *err)
{
    if (!link_list(netlink, &actual->links, err) || !qdisc_list(netlink, &actual->qdiscs, err)) {
        return false;
    }
    VEC_FOREACH (&actual->links, link) {
        table_put(actual->by_name, link->name, link);
    }
    VEC_FOREACH (&actual->qdiscs, qdisc) {
        if (qdisc->handle == QDISC_HANDLE && strcmp(qdisc->kind, "tbf") == 0) {
            table_put_bytes(actual->buckets, &qdisc->index, sizeof qdisc->index, qdisc);
        }
    }
    return true;
}

static bool
is_bucket_in_place(const struct actual *actual, const struct link *link, const struct shape *want)
{
    const struct qdisc *qdisc =
        link ? table_get_bytes(actual->buckets, &link->index, sizeof link->index) : NULL;

    return qdisc ? qdisc->rate == want->rate && qdisc->peak_rate == want->peak_rate
                 : want->rate == 0;
}

static bool
is_in_place(const struct shaping *shaping, const struct actual *actual, const struct shaped *shaped)
{
    const struct link *link = table_get(actual->by_name, shaped->wish.ifname);
    char name[LINK_NAME_MAX];
    const struct link *ifb = table_get(actual->by_name, ifb_name(shaped->wish.ifname, name));
    bool is_redirected = false;
    struct err err = ERR_INIT;

    if (!link) {
        return !ifb;
    }
    return is_bucket_in_place(actual, link, &shaped->wish.ingress) &&
           is_bucket_in_place(actual, ifb, &shaped->wish.egress) &&
           qdisc_is_redirected(shaping->netlink, link->index, &is_redirected, &err) &&
           is_redirected == (shaped->wish.egress.rate > 0);
}

/* What has a bucket of ours, or is an ifb of ours, and nobody asks for. */
static void
find_leftovers(struct shaping *shaping, const struct actual *actual)
{
    VEC_FOREACH (&actual->links, link) {
        bool is_ifb = strcmp(link->kind, "ifb") == 0 &&
                      strncmp(link->name, IFB_PREFIX, strlen(IFB_PREFIX)) == 0;
        if (is_ifb && link->alias[0] != '\0' && strlen(link->alias) <= IFNAME_MAX) {
            (void)shaped_of(shaping, link->alias);
        } else if (!is_ifb && table_get_bytes(actual->buckets, &link->index, sizeof link->index)) {
            (void)shaped_of(shaping, link->name);
        }
    }
}

static bool
read_back(struct shaping *shaping, struct err *err)
{
    struct actual actual = {.by_name = table_new(), .buckets = table_new()};
    bool is_good = actual_read(shaping->netlink, &actual, err);

    if (is_good) {
        find_leftovers(shaping, &actual);
        TABLE_FOREACH (shaping->by_ifname, entry) {
            struct shaped *shaped = table_value(entry);
            shaped->is_dirty = !is_in_place(shaping, &actual, shaped) || !shaped->is_wanted;
            shaping->must_write |= shaped->is_dirty;
        }
    }
    table_free(actual.by_name, NULL);
    table_free(actual.buckets, NULL);
    VEC_DONE(&actual.links);
    VEC_DONE(&actual.qdiscs);
    return is_good;
}

/* ---- writing ------------------------------------------------------------------------------------
 */

/* Both at least a packet, or none would ever pass. */
static struct shape
completed(const struct shape *want, uint32_t mtu)
{
    struct shape shape = *want;
    uint32_t packet = mtu + LINK_HEADER;
    uint64_t queue = shape.rate / QUEUE_PER_SECOND;

    shape.burst = shape.burst > packet ? shape.burst : packet;
    shape.min_burst = shape.min_burst > packet ? shape.min_burst : packet;
    shape.queue = queue < QUEUE_MIN ? QUEUE_MIN : queue > QUEUE_MAX ? QUEUE_MAX : (uint32_t)queue;
    return shape;
}

static bool
write_bucket(struct shaping *shaping, const struct link *link, const struct shape *want,
             uint32_t mtu, struct err *err)
{
    struct shape shape = completed(want, mtu);

    return want->rate > 0 ? qdisc_shape(shaping->netlink, link->index, &shape, err)
                          : qdisc_unshape(shaping->netlink, link->index, err);
}

static bool
delete_ifb(struct shaping *shaping, const char *name, struct err *err)
{
    struct link ifb;
    struct err absent = ERR_INIT;

    return !link_get(shaping->netlink, name, &ifb, &absent) ||
           link_delete(shaping->netlink, ifb.index, err);
}

static bool
write_egress(struct shaping *shaping, const struct link *link, const struct shape *want,
             struct err *err)
{
    char name[LINK_NAME_MAX];
    struct link ifb;

    ifb_name(link->name, name);
    if (want->rate == 0) {
        return qdisc_unredirect(shaping->netlink, link->index, err) &&
               delete_ifb(shaping, name, err);
    }
    if (!link_add_ifb(shaping->netlink, name, link->name, err) && err->code != EEXIST) {
        return false;
    }
    return link_get(shaping->netlink, name, &ifb, err) &&
           write_bucket(shaping, &ifb, want, link->mtu, err) &&
           qdisc_redirect(shaping->netlink, link->index, ifb.index, err);
}

static bool
write_shaped(struct shaping *shaping, const struct shaped *shaped, struct err *err)
{
    const struct shaping_wish *wish = &shaped->wish;
    struct link link;
    char name[LINK_NAME_MAX];

    if (!link_get(shaping->netlink, wish->ifname, &link, err)) {
        /* It comes, or it is gone. */
        return err->code == ENODEV && delete_ifb(shaping, ifb_name(wish->ifname, name), err);
    }
    return (write_bucket(shaping, &link, &wish->ingress, link.mtu, err) &&
            write_egress(shaping, &link, &wish->egress, err)) ||
           err_wrap(err,
                    "bandwidth of %s (the kernel needs sch_tbf, sch_ingress, cls_u32, "
                    "act_mirred and ifb)",
                    wish->ifname);
}

bool
shaping_apply(struct shaping *shaping, struct err *err)
{
    bool is_good = true;

    if (shaping->must_read) {
        if (!read_back(shaping, err)) {
            return false;
        }
        shaping->must_read = false;
    }
    if (!shaping->must_write) {
        return true;
    }
    shaping->must_write = false;
    TABLE_FOREACH (shaping->by_ifname, entry) {
        struct shaped *shaped = table_value(entry);
        struct err reason = ERR_INIT;
        if (!shaped->is_dirty) {
            continue;
        }
        shaped->is_dirty = !write_shaped(shaping, shaped, &reason);
        if (shaped->is_dirty) {
            shaping->must_write = true;
            *err = is_good ? reason : *err;
            is_good = false;
        } else if (!shaped->is_wanted) {
            free(table_take(shaping->by_ifname, shaped->wish.ifname));
        }
    }
    return is_good;
}
