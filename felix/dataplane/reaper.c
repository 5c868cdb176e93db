/* One work item a link, with a socket of its own: netlink sockets belong to one thread. Called by
 * felix/requests.c when a pod is deleted. */
#include "felix/dataplane/reaper.h"

#include <errno.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/netlink/netlink.h"

struct reap {
    uv_work_t work;
    int index;
    bool good;
    struct err err;
    void (*done)(void *owner, bool good, const struct err *err);
    void *owner;
};

bool
reaper_find(struct netlink *netlink, const char *name, const char *alias, int *ret_index,
            struct err *err)
{
    struct err reason = ERR_INIT;
    struct link link;

    *ret_index = 0;
    if (!link_get(netlink, name, &link, &reason)) {
        return reason.code == ENODEV || err_code(err, reason.code, "%s", reason.text);
    }
    /* The name is made from namespace and pod, so the next pod of a StatefulSet has the same. The
     * kernel's copy of the alias is cut. */
    if (link.alias[0] == '\0' || strncmp(link.alias, alias, sizeof link.alias - 1) == 0) {
        *ret_index = link.index;
    }
    return true;
}

static void
on_work(uv_work_t *work)
{
    struct reap *item = work->data;
    struct netlink *netlink = NULL;

    if (netlink_new(&netlink, &item->err)) {
        item->good = link_delete(netlink, item->index, &item->err) || item->err.code == ENODEV;
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
reaper_delete(uv_loop_t *loop, int index,
              void (*done)(void *owner, bool good, const struct err *err), void *owner)
{
    struct reap *item = NEW(struct reap);

    item->index = index;
    item->done = done;
    item->owner = owner;
    item->work.data = item;
    uv_queue_work(loop, &item->work, on_work, on_done);
}
