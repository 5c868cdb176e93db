/* Tells cheaply when somebody else may have touched one family's tables of felix's.
 *
 * nft: the kernel names the chains of every commit. Those that touch no chain of ours and no
 * built-in chain (kube-proxy's, all day) are nothing to us; ours are counted: one a table and
 * write. What is more than that is somebody else's.
 * legacy: the kernel tells nobody. Every PROBE_MS the number and size of each table's entries are
 * asked for, four system calls; an edit that keeps both is seen when all is read back. */
#pragma once

#include <uv.h>

#include "felix/dataplane/iptables.h"
#include "felix/rules/rules_state.h"
#include "lib/netlink/monitor.h"

struct rules_watch;

struct rules_watch_spec {
    uint8_t family;
    enum iptables_backend backend;
    const struct rules_state *rules; /* says which tables are in use */
    void (*touched)(void *owner);
    void *owner;
};

struct rules_watch *rules_watch_new(uv_loop_t *loop, const struct rules_watch_spec *spec);
void rules_watch_stop(struct rules_watch *watch); /* NULL is fine */
void rules_watch_free(struct rules_watch *watch); /* after the loop has turned */

void rules_watch_on_nft(struct rules_watch *watch, const struct monitor_note *note);
/* What is read from now on is what is known. */
void rules_watch_reading(struct rules_watch *watch);
void rules_watch_writing(struct rules_watch *watch, size_t n_tables);
void rules_watch_wrote(struct rules_watch *watch, bool good);
/* Our own write, some time ago, was not told of: neither would that of others. Legacy: always, for
 * changes that keep a table's size, and those between a write and the next look. */
bool rules_watch_is_blind(const struct rules_watch *watch);
