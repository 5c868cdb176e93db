/* Watches tunl0 and has BIRD reconsider its kernel routes. Used by confd.c. */
#include "confd/tunnel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/bird/client.h"
#include "lib/netlink/monitor.h"
#include "lib/netlink/netlink.h"

LOG_MODULE("tunnel");

#define TUNNEL "tunl0"
#define DEADLINE_MS 10000
#define CODE_INTERFACE_SUMMARY 1005

struct tunnel {
    struct bird_client *bird;
    struct netlink *netlink;
    struct monitor *monitor;
    bool is_up;      /* the kernel's word */
    bool is_settled; /* BIRD ran its filter since tunl0 last came up */
    bool is_asked;   /* an answer of BIRD's is outstanding */
    unsigned n_changes;
    unsigned n_asked; /* n_changes when BIRD was asked */
};

static void
look(struct tunnel *tunnel)
{
    struct link link;

    tunnel->is_up = link_get(tunnel->netlink, TUNNEL, &link, NULL) && link.is_up;
}

bool
tunnel_bird_sees_up(const struct bird_reply *reply, const char *name)
{
    VEC_FOREACH (&reply->lines, line) {
        char interface[LINK_NAME_MAX] = "", state[8] = "";

        if (line->code == CODE_INTERFACE_SUMMARY &&
            sscanf(line->text, "%15s %7s", interface, state) == 2 && strcmp(interface, name) == 0) {
            return strcmp(state, "up") == 0;
        }
    }
    return false;
}

static void
on_reloaded(void *owner, const struct bird_reply *reply)
{
    struct tunnel *tunnel = owner;

    tunnel->is_asked = false;
    if (bird_reply_class(reply) == BIRD_NO_ANSWER) {
        return; /* the next tick asks again */
    }
    if (bird_reply_class(reply) != BIRD_DONE) {
        log_warn("BIRD did not reconsider its kernel routes: %s", reply->err.text);
    }
    tunnel->is_settled = tunnel->n_asked == tunnel->n_changes;
}

/* BIRD learns of interfaces from the kernel, as we do, and may be behind: the filter would refuse
 * the same routes again. */
static void
on_interfaces(void *owner, const struct bird_reply *reply)
{
    struct tunnel *tunnel = owner;

    if (!tunnel_bird_sees_up(reply, TUNNEL)) {
        tunnel->is_asked = false;
        return;
    }
    log_info("%s is up, BIRD reconsiders its kernel routes", TUNNEL);
    bird_client_send(tunnel->bird, "reload out kernel4", DEADLINE_MS, on_reloaded, tunnel);
}

static void
on_kernel(void *owner, const struct monitor_note *note)
{
    struct tunnel *tunnel = owner;

    if (note->event == MONITOR_OVERRUN) {
        look(tunnel);
    } else if (strcmp(note->link.name, TUNNEL) == 0) {
        bool is_up = note->event == MONITOR_LINK && note->link.is_up;
        if (is_up == tunnel->is_up) {
            return;
        }
        tunnel->is_up = is_up;
    } else {
        return;
    }
    tunnel->is_settled = false;
    tunnel->n_changes++;
    tunnel_tick(tunnel);
}

void
tunnel_tick(struct tunnel *tunnel)
{
    if (tunnel->is_settled || tunnel->is_asked || !tunnel->is_up ||
        !bird_client_is_connected(tunnel->bird)) {
        return;
    }
    tunnel->is_asked = true;
    tunnel->n_asked = tunnel->n_changes;
    bird_client_send(tunnel->bird, "show interfaces summary", DEADLINE_MS, on_interfaces, tunnel);
}

bool
tunnel_new(uv_loop_t *loop, struct bird_client *bird, struct tunnel **ret_tunnel, struct err *err)
{
    struct tunnel *tunnel = NEW(struct tunnel);

    tunnel->bird = bird;
    if (!netlink_new(&tunnel->netlink, err) ||
        !monitor_new(loop, MONITOR_ONLY_LINKS, on_kernel, tunnel, &tunnel->monitor, err)) {
        tunnel_free(tunnel);
        return err_wrap(err, TUNNEL);
    }
    /* After the subscription, so that no change falls between. It may have come up while nobody
     * watched: BIRD is asked once in any case. */
    look(tunnel);
    *ret_tunnel = tunnel;
    return true;
}

void
tunnel_free(struct tunnel *tunnel)
{
    if (tunnel == NULL) {
        return;
    }
    monitor_free(tunnel->monitor);
    netlink_free(tunnel->netlink);
    free(tunnel);
}
