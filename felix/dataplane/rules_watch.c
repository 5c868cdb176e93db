/* Notices other writers of our tables; used by iptables.c. */
#include "felix/dataplane/rules_watch.h"

#include <errno.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "felix/rules/saved_rules.h"
#include "lib/base/alloc.h"

#define PROBE_MS 250
/* Notifications lie in our socket before the writer's answer does; this is for a busy loop. */
#define OWN_WITHIN_MS 1000

_Static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO, "the same number in both families");
_Static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo), "and the same answer");

struct rules_watch {
    uv_loop_t *loop;
    struct rules_watch_spec spec;
    bool is_writing;

    /* nft */
    bool is_touched; /* by the commit that is being told */
    size_t n_own;    /* commits of ours that were not told yet */
    uint64_t own_until_ms;

    /* legacy */
    uv_timer_t timer;
    int fd; /* -1: no probes */
    struct ipt_getinfo known[N_RULES_TABLES];
};

/* ---- legacy
 * ------------------------------------------------------------------------------------------- */

static bool
read_info(const struct rules_watch *watch, enum rules_table table, struct ipt_getinfo *ret_info)
{
    socklen_t len = sizeof *ret_info;

    *ret_info = (struct ipt_getinfo){0};
    /* A table nobody has would be made by asking. */
    if (!rules_state_uses(watch->spec.rules, table)) {
        return false;
    }
    snprintf(ret_info->name, sizeof ret_info->name, "%s", rules_table_name(table));
    return getsockopt(watch->fd, watch->spec.family == 4 ? IPPROTO_IP : IPPROTO_IPV6,
                      IPT_SO_GET_INFO, ret_info, &len) == 0;
}

static void
take_info(struct rules_watch *watch)
{
    for (size_t i = 0; i < N_RULES_TABLES && watch->fd >= 0; i++) {
        read_info(watch, (enum rules_table)i, &watch->known[i]);
    }
}

static void
on_probe(uv_timer_t *timer)
{
    struct rules_watch *watch = timer->data;
    bool is_touched = false;

    for (size_t i = 0; i < N_RULES_TABLES && !watch->is_writing; i++) {
        struct ipt_getinfo info;
        if (read_info(watch, (enum rules_table)i, &info) &&
            memcmp(&info, &watch->known[i], sizeof info) != 0) {
            watch->known[i] = info;
            is_touched = true;
        }
    }
    if (is_touched) {
        watch->spec.touched(watch->spec.owner);
    }
}

/* ---- nft
 * ---------------------------------------------------------------------------------------------- */

static bool
is_builtin(const char *chain)
{
    static const char *const builtin[] = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT",
                                          "POSTROUTING"};

    for (size_t i = 0; i < ARRAY_LEN(builtin); i++) {
        if (strcmp(chain, builtin[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool
is_about_us(const struct rules_watch *watch, const struct monitor_nft *nft)
{
    enum rules_table table;

    return nft->family == watch->spec.family &&
           rules_table_find(nft->table, strlen(nft->table), &table) &&
           (!nft->chain || rules_chain_is_ours(nft->chain, strlen(nft->chain)) ||
            is_builtin(nft->chain));
}

static bool
is_own_commit(struct rules_watch *watch)
{
    if (watch->n_own > 0 && !watch->is_writing && uv_now(watch->loop) > watch->own_until_ms) {
        watch->n_own = 0;
    }
    if (watch->n_own == 0) {
        return false;
    }
    watch->n_own--;
    return true;
}

void
rules_watch_on_nft(struct rules_watch *watch, const struct monitor_note *note)
{
    if (watch->spec.backend != IPTABLES_NFT) {
        return;
    }
    if (note->event == MONITOR_RULE) {
        watch->is_touched = watch->is_touched || is_about_us(watch, &note->nft);
        return;
    }
    bool is_touched = watch->is_touched || note->event == MONITOR_RULES_LOST;
    watch->is_touched = false;
    if (note->event == MONITOR_RULES_LOST) {
        watch->n_own = 0;
    }
    if (is_touched && !is_own_commit(watch)) {
        watch->spec.touched(watch->spec.owner);
    }
}

/* ---- the writer
 * --------------------------------------------------------------------------------------- */

struct rules_watch *
rules_watch_new(uv_loop_t *loop, const struct rules_watch_spec *spec)
{
    struct rules_watch *watch = NEW(struct rules_watch);

    watch->loop = loop;
    watch->spec = *spec;
    watch->fd = -1;
    uv_timer_init(loop, &watch->timer);
    watch->timer.data = watch;
    if (spec->backend == IPTABLES_LEGACY) {
        watch->fd =
            socket(spec->family == 4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    }
    return watch;
}

void
rules_watch_stop(struct rules_watch *watch)
{
    if (watch) {
        own_close_fd(&watch->fd);
        watch->fd = -1;
        uv_close((uv_handle_t *)&watch->timer, NULL);
    }
}

void
rules_watch_free(struct rules_watch *watch)
{
    free(watch);
}

void
rules_watch_reading(struct rules_watch *watch)
{
    take_info(watch);
    if (watch->fd >= 0 && !uv_is_active((uv_handle_t *)&watch->timer)) {
        uv_timer_start(&watch->timer, on_probe, PROBE_MS, PROBE_MS);
    }
}

void
rules_watch_writing(struct rules_watch *watch, size_t n_tables)
{
    watch->is_writing = true;
    watch->n_own += watch->spec.backend == IPTABLES_NFT ? n_tables : 0;
}

void
rules_watch_wrote(struct rules_watch *watch, bool good)
{
    watch->is_writing = false;
    watch->own_until_ms = uv_now(watch->loop) + OWN_WITHIN_MS;
    if (!good) {
        watch->n_own = 0; /* some of them, perhaps; all is read back anyway */
    }
    take_info(watch);
}

bool
rules_watch_is_blind(const struct rules_watch *watch)
{
    /* What is being written just now is not missing: whoever wrote it asks again later. */
    return watch->spec.backend == IPTABLES_LEGACY || (watch->n_own > 0 && !watch->is_writing);
}
