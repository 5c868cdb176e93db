/* One iptables-restore --test with everything; only where that is not understood, one for each.
 * Called by tables.c. */
#include "felix/dataplane/features.h"

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/loop/child.h"

LOG_MODULE("features");

#define DEADLINE_MS 20000
#define EXIT_NOT_UNDERSTOOD 2 /* iptables: PARAMETER_PROBLEM */
#define CHAIN "cali-features"

struct trial {
    const char *name;
    const char *rule;
    size_t offset; /* in struct features */
};

static const struct trial trials[] = {
    {"MASQUERADE --random-fully", "-A " CHAIN " -j MASQUERADE --random-fully",
     offsetof(struct features, masquerade_random_fully)},
    {"SNAT --random-fully", "-A " CHAIN " -j SNAT --to-source 192.0.2.1 --random-fully",
     offsetof(struct features, snat_random_fully)},
};

struct detection {
    uv_loop_t *loop;
    enum iptables_backend backend;
    struct features features;
    size_t next; /* of the trials, when they go one by one */
    void (*found)(void *owner, const struct features *features);
    void *owner;
};

static void
try_rules(struct detection *detection, size_t from, size_t to,
          void (*done)(void *owner, const struct child_result *result))
{
    bool is_nft = detection->backend == IPTABLES_NFT;
    const char *const argv[] = {is_nft ? "iptables-nft-restore" : "iptables-legacy-restore",
                                "--test", "--noflush", NULL};
    AUTO(str) struct str input = STR_INIT;

    str_add(&input, "*nat\n:" CHAIN " - [0:0]\n");
    for (size_t i = from; i < to; i++) {
        str_addf(&input, "%s\n", trials[i].rule);
    }
    str_add(&input, "COMMIT\n");
    const struct child_spec spec = {
        .argv = argv, .input = input.text, .input_len = input.len, .deadline_ms = DEADLINE_MS};
    child_run(detection->loop, &spec, done, detection);
}

static void
end(struct detection *detection)
{
    detection->found(detection->owner, &detection->features);
    free(detection);
}

static void
on_one(void *owner, const struct child_result *result)
{
    struct detection *detection = owner;
    const struct trial *trial = &trials[detection->next++];

    if (result->exit_code == EXIT_NOT_UNDERSTOOD) {
        *(bool *)((char *)&detection->features + trial->offset) = false;
        log_info("iptables does not know %s: it is left out", trial->name);
    }
    if (detection->next < ARRAY_LEN(trials)) {
        try_rules(detection, detection->next, detection->next + 1, on_one);
    } else {
        end(detection);
    }
}

static void
on_all(void *owner, const struct child_result *result)
{
    struct detection *detection = owner;

    if (result->exit_code == EXIT_NOT_UNDERSTOOD) {
        try_rules(detection, 0, 1, on_one);
    } else {
        end(detection);
    }
}

void
features_detect(uv_loop_t *loop, enum iptables_backend backend,
                void (*found)(void *owner, const struct features *features), void *owner)
{
    struct detection *detection = NEW(struct detection);

    detection->loop = loop;
    detection->backend = backend;
    detection->features =
        (struct features){.masquerade_random_fully = true, .snat_random_fully = true};
    detection->found = found;
    detection->owner = owner;
    try_rules(detection, 0, ARRAY_LEN(trials), on_all);
}
