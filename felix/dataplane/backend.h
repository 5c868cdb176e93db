/* Which iptables backend this node uses: where kube-proxy and kubelet left their hints, else where
 * there are more rules. */
#pragma once

#include <uv.h>

#include "felix/dataplane/iptables.h"

/* Calls chosen() once with LEGACY or NFT. Reading legacy tables would load their modules, so they
 * are read only when the kernel has them already. */
void backend_detect(uv_loop_t *loop,
                    void (*chosen)(void *owner, enum iptables_backend backend, const char *why),
                    void *owner);
/* From the two save outputs (legacy NULL: not looked at). Pure. */
enum iptables_backend backend_choose(const char *nft_saved, const char *legacy_saved,
                                     const char **ret_why);
/* The kernel has the legacy tables' modules: only then can there be rules in them. */
bool backend_legacy_in_use(void);
