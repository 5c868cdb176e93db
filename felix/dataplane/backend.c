/* Backend detection: two children one after the other, then a pure decision. */
#include "felix/dataplane/backend.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/loop/child.h"

#define DEADLINE_MS 20000

struct detection {
    uv_loop_t *loop;
    struct str nft;
    void (*chosen)(void *owner, enum iptables_backend backend, const char *why);
    void *owner;
};

bool
backend_legacy_in_use(void)
{
    return access("/proc/net/ip_tables_names", F_OK) == 0;
}

static bool
has_kubelet_hint(const char *saved)
{
    return strstr(saved, "KUBE-IPTABLES-HINT") || strstr(saved, "KUBE-KUBELET-CANARY");
}

static size_t
count_rules(const char *saved)
{
    size_t n = 0;

    for (const char *line = saved; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        n += strncmp(line, "-A ", 3) == 0;
        if (*line == '\0') {
            break;
        }
    }
    return n;
}

enum iptables_backend
backend_choose(const char *nft_saved, const char *legacy_saved, const char **ret_why)
{
    if (has_kubelet_hint(nft_saved)) {
        *ret_why = "kubelet's hint is in the nft tables";
        return IPTABLES_NFT;
    }
    if (legacy_saved && has_kubelet_hint(legacy_saved)) {
        *ret_why = "kubelet's hint is in the legacy tables";
        return IPTABLES_LEGACY;
    }
    size_t n_legacy = legacy_saved ? count_rules(legacy_saved) : 0;
    if (n_legacy > 0 && n_legacy >= count_rules(nft_saved)) {
        *ret_why = "the legacy tables hold more rules";
        return IPTABLES_LEGACY;
    }
    *ret_why = "no sign of the legacy backend in use";
    return IPTABLES_NFT;
}

static void
choose(struct detection *detection, const char *legacy)
{
    const char *why = NULL;
    enum iptables_backend backend = backend_choose(str_text(&detection->nft), legacy, &why);

    detection->chosen(detection->owner, backend, why);
    str_done(&detection->nft);
    free(detection);
}

static void
on_legacy(void *owner, const struct child_result *result)
{
    choose(owner, result->exit_code == 0 ? str_text(&result->out) : NULL);
}

static void
on_nft(void *owner, const struct child_result *result)
{
    struct detection *detection = owner;
    const char *const argv[] = {"iptables-legacy-save", NULL};
    const struct child_spec spec = {.argv = argv, .deadline_ms = DEADLINE_MS};

    str_add(&detection->nft, str_text(&result->out));
    if (!backend_legacy_in_use()) {
        choose(detection, NULL);
        return;
    }
    child_run(detection->loop, &spec, on_legacy, detection);
}

void
backend_detect(uv_loop_t *loop,
               void (*chosen)(void *owner, enum iptables_backend backend, const char *why),
               void *owner)
{
    const char *const argv[] = {"iptables-nft-save", NULL};
    const struct child_spec spec = {.argv = argv, .deadline_ms = DEADLINE_MS};
    struct detection *detection = NEW(struct detection);

    detection->loop = loop;
    detection->chosen = chosen;
    detection->owner = owner;
    child_run(loop, &spec, on_nft, detection);
}
