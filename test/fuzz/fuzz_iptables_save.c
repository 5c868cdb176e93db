/* What iptables-save prints, against felix's own ruleset: whatever it says, what is written then
 * must make the tables equal, as far as the lines can be played back here. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "felix/dataplane/backend.h"
#include "felix/rules/rules_state.h"
#include "felix/rules/static_rules.h"
#include "felix/server/counts.h"
#include "lib/base/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever was printed, only our chains and rules that are hooks of ours may be named. */
static void
check_restore(const char *restore)
{
    for (const char *line = restore; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        if (strncmp(line, "-X ", 3) == 0 && strncmp(line, "-X cali-", 8) != 0) {
            abort();
        }
        if (*line == ':' && strncmp(line, ":cali-", 6) != 0) {
            abort();
        }
        if (!strchr("*:-C", *line)) {
            abort();
        }
        line += len + (line[len] == '\n');
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct static_rules_config config = {.workload_prefix = "cali", .has_tunnel = true};
    char *text = xstrndup((const char *)data, size);
    AUTO(str) struct str restore = STR_INIT;
    struct ruleset want;
    const char *why = NULL;

    ruleset_init(&want);
    if (size % 2 == 0) {
        static_rules(&config, 4, &want);
    }
    if (ruleset_diff(&want, text, &restore, NULL)) {
        check_restore(str_text(&restore));
    }
    backend_choose(text, text, &why);
    struct counts *counts = counts_new();
    counts_read(counts, 4, text);
    counts_free(counts);
    ruleset_done(&want);
    free(text);
    return 0;
}
