/* One work item a link, with a socket of its own: netlink sockets belong to one thread. */
#include "felix/dataplane/reaper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/netlink/netlink.h"

struct reap {
    uv_work_t work;
    char name[LINK_NAME_MAX];
    char alias[64];
    bool good;
    struct err err;
    void (*done)(void *owner, bool good, const struct err *err);
    void *owner;
};

static bool
reap(struct reap *reap, struct netlink *netlink, struct err *err)
{
    struct err reason = ERR_INIT;
    struct link link;

    if (!link_get(netlink, reap->name, &link, &reason)) {
        return reason.code == ENODEV || err_code(err, reason.code, "%s", reason.text);
    }
    /* The name is made from namespace and pod, so the next pod of a StatefulSet has the same. */
    if (link.alias[0] != '\0' && strcmp(link.alias, reap->alias) != 0) {
        return true;
    }
    return link_delete(netlink, link.index, &reason) || reason.code == ENODEV ||
           err_code(err, reason.code, "%s", reason.text);
}

static void
on_work(uv_work_t *work)
{
    struct reap *item = work->data;
    struct netlink *netlink = NULL;

    if (netlink_new(&netlink, &item->err)) {
        item->good = reap(item, netlink, &item->err);
        netlink_free(netlink);
    }
}

static void
on_done(uv_work_t *work, int status)
{
    struct reap *item = work->data;

    (void)status;
    item->done(item->owner, item->good, &item->err);
    free(item);
}

void
reaper_delete(uv_loop_t *loop, const char *name, const char *alias,
              void (*done)(void *owner, bool good, const struct err *err), void *owner)
{
    struct reap *item = NEW(struct reap);

    snprintf(item->name, sizeof item->name, "%s", name);
    snprintf(item->alias, sizeof item->alias, "%.63s", alias);
    item->done = done;
    item->owner = owner;
    item->work.data = item;
    uv_queue_work(loop, &item->work, on_work, on_done);
}
